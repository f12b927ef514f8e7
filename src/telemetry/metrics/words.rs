//! The words that labels of metrics have. Each set is closed, so that the number of series is.

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A closed set of words that are values of a label.
macro_rules! words {
    ($(#[$meta:meta])* enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* #[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl $name {
            /// The word.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                self.word().encode(encoder)
            }
        }
    };
}

words! {
    /// Which webhook was called.
    enum Webhook {
        Validate = "validate",
        Mutate = "mutate",
    }
}

words! {
    /// What the request would do.
    enum Operation {
        Create = "CREATE",
        Update = "UPDATE",
        Delete = "DELETE",
        Connect = "CONNECT",
        /// No operation could be read.
        Unknown = "unknown",
    }
}

words! {
    /// What the answer was.
    enum Answer {
        /// Allowed as it is.
        Allow = "allow",
        /// Allowed, changed.
        Patch = "patch",
        /// Denied.
        Deny = "deny",
        /// No decision: what was sent is no request, or the time was up.
        Error = "error",
    }
}

words! {
    /// What became of one policy in one request. Passes are not counted: they would cost every request a look-up.
    enum PolicyResult {
        Deny = "deny",
        Warn = "warn",
        Audit = "audit",
        Error = "error",
        Patch = "patch",
        /// It took longer than a policy should, whatever it said.
        Slow = "slow",
    }
}

words! {
    /// Why a connection ended before its time.
    enum Refusal {
        /// Too many connections.
        Limit = "limit",
        /// The TLS handshake failed or took too long.
        Handshake = "handshake",
        /// No certificate yet.
        NoCertificate = "no_certificate",
    }
}

words! {
    /// What became of a policy set that was read.
    enum ReloadResult {
        Ok = "ok",
        Error = "error",
    }
}

words! {
    /// What the controller writes to the cluster.
    enum Written {
        Status = "status",
        Registration = "registration",
        Certificate = "certificate",
        Report = "report",
    }
}

words! {
    /// What a request has to know that is not in it.
    enum Question {
        Namespace = "namespace",
        Authorization = "authorization",
    }
}

words! {
    /// What became of the verification of an image.
    enum ImageResult {
        Passed = "passed",
        Failed = "failed",
        /// Nobody could say.
        Unknown = "unknown",
    }
}

words! {
    /// Where the answer about an image came from.
    enum ImageAnswer {
        /// It was there already, or on its way.
        Kept = "kept",
        /// A registry had to be asked.
        Registry = "registry",
        /// The registry does not answer, and the policy trusts what was verified before.
        VerifiedBefore = "verified_before",
    }
}
