# One binary on a base with a C library, certificates and nothing else: no shell, no package manager, not root.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin portcullis

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /src/target/release/portcullis /portcullis
USER 65532:65532
ENTRYPOINT ["/portcullis"]
CMD ["serve"]
