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
