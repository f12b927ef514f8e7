//! Every limit of the controller, with its reason. What is done when one is reached is said where that is done.

use std::time::Duration;

/// Bytes of stack for compiling. The compiler recurses over expressions (250 levels) and a debug build takes several
/// kilobytes a level; the memory is only reserved, not used.
pub const BUILD_STACK_BYTES: usize = 32 * 1024 * 1024;

/// How often files are looked at. Somebody who saves a policy and tries it takes longer, and a look at a thousand files
/// costs a few milliseconds. File events would be faster, but ConfigMap mounts and network file systems don't send them.
pub const FILES_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long files must stay the same before they are read: editors and `git` write a file in several steps.
pub const FILES_SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// How often files may change while we wait for them to settle. After that they are read as they are: something that
/// writes all the time must not keep a new policy out.
pub const FILES_SETTLE_ROUNDS_MAX: usize = 20;

/// Bytes of one file: as much as manifests may have.
pub const FILE_BYTES_MAX: usize = crate::policy::manifest::TEXT_MAX;

/// Bytes of all files, which are in memory together while they are compiled.
pub const FILES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Files in a set. A cluster with 5,000 policies has one for each.
pub const FILES_MAX: usize = 20_000;

/// Files and folders that are looked at for manifests: what isn't a manifest is passed over, but looking costs too. A
/// folder of this size is not a folder of policies; somebody named `/`.
pub const ENTRIES_MAX: usize = 200_000;

/// Folders within folders, so that links that lead in a circle come to an end.
pub const FOLDER_DEPTH_MAX: usize = 32;

/// Errors that are told of one set of files. Who broke more mends those first.
pub const FILE_ERRORS_MAX: usize = 20;

/// From a change in the cluster to compiling it, so that `kubectl apply` of a folder compiles a few times and not once
/// for each object. Nobody sees so short a wait.
pub const DEBOUNCE_INTERVAL: Duration = Duration::from_millis(20);

/// Changes that wait to be looked at. The watches wait when there are more, and the API server keeps the rest.
pub const CHANGES_MAX: usize = 4_096;

/// How long one watch lasts before it is begun anew, where it was. A connection that died without a word is noticed by
/// [`READ_TIMEOUT`], which has to be longer.
pub const WATCH_SECONDS_MAX: u32 = 60;

/// How long the API server may be silent. A watch is over after [`WATCH_SECONDS_MAX`], so this is a dead connection.
pub const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// For a connection to the API server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The first wait after a watch broke off; it doubles with each failure that follows.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// The longest wait between attempts: as long as an API server takes to start. Somebody who installed the CRDs too late
/// waits that long.
pub const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How often we ask again for a kind that nobody serves. Whoever applies a policy before its CRD waits that long.
pub const KIND_INTERVAL: Duration = Duration::from_secs(2);

/// How long a change waits for the first list of a new param kind. After that the policies that name the kind meet an
/// error, which their failure policy decides about, and all others are in force.
pub const PARAMS_PATIENCE: Duration = Duration::from_millis(1_500);

/// The same at the start, when everything else is listed too and nobody is served yet.
pub const PARAMS_PATIENCE_FIRST: Duration = Duration::from_secs(30);

/// Kinds of params that are watched. Each is a connection and a share of memory; a cluster with more kinds of params
/// than this is not one that we have seen.
pub const PARAM_KINDS_MAX: usize = 100;

/// Objects of one param kind. ConfigMaps can be params, and large clusters have tens of thousands.
pub const PARAMS_MAX: usize = 100_000;

/// How often we ask which resources serve the same objects. CRDs get new versions now and then.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_mins(1);
