# One binary on a base with a C library, certificates and nothing else: no shell, no package manager, not root.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The test, bench and example targets are not in the build context, and cargo insists on their files.
RUN mkdir -p e2e && sed -n 's/^path = "\(e2e\/.*\)"$/\1/p' Cargo.toml | while read -r target; do \
      mkdir -p "$(dirname "$target")" && echo 'fn main() {}' > "$target"; \
    done \
    && cargo build --release --locked --bin portcullis

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /src/target/release/portcullis /portcullis
USER 65532:65532
ENTRYPOINT ["/portcullis"]
CMD ["serve"]
