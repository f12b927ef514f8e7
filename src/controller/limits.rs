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

/// How often the audit looks again at images of which nobody knew whether they pass. A registry that is down is not to be
/// asked about everything all the time.
pub const DOUBTFUL_INTERVAL: Duration = Duration::from_mins(1);

/// Secrets of image policies that are watched, each by a connection of its own. Few people sign, and their keys are few.
pub const KEY_SECRETS_MAX: usize = 64;

/// Objects of one param kind. ConfigMaps can be params, and large clusters have tens of thousands.
pub const PARAMS_MAX: usize = 100_000;

/// How often we ask which resources serve the same objects. CRDs get new versions now and then.
pub const DISCOVERY_INTERVAL: Duration = Duration::from_mins(1);

/// How often we ask whether the schemas changed by which objects are merged, if a policy merges any: as often as the API
/// server asks itself. The answer is an index of a few kilobytes.
pub const SCHEMAS_INTERVAL: Duration = Duration::from_secs(5);

/// How long a replica that finds no certificate when it starts waits for another to write it again, which takes a
/// moment. After that nobody else is there, and it makes one.
pub const RESTORE_PATIENCE: Duration = Duration::from_secs(10);

/// How often the certificate is looked at: by its age, and in case that it can't be watched.
pub const CERTIFICATE_INTERVAL: Duration = Duration::from_mins(1);

/// Replicas that want to write the same Secret at once; one of them wins, and the others read what it wrote.
pub const CERTIFICATE_ATTEMPTS_MAX: usize = 10;

/// How often registrations are written again although nothing changed here, so that what somebody deleted or edited
/// comes back. It costs two requests that change nothing.
pub const REGISTRATION_INTERVAL: Duration = Duration::from_mins(1);

/// How long a registration that is there outlives a first list without policies. An API server that lost its CRDs, or
/// was restored from a backup, gets them back by hand; nothing is enforced meanwhile, but nothing is torn down either.
pub const EMPTY_FIRST_LIST_GRACE: Duration = Duration::from_mins(5);

/// From one look at all statuses to the next, so that what is compiled and registered at once is told once.
pub const STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// Status writes at once. The API server has other things to do.
pub const STATUS_WRITES_MAX: usize = 8;

/// Characters of a condition's message; Kubernetes' own limit.
pub const MESSAGE_CHARS_MAX: usize = 32_768;

/// Diagnostics in a status. Who has more mends those first, and an object must stay below 1.5 MiB.
pub const DIAGNOSTICS_MAX: usize = 32;

/// Characters of an excerpt in a status: a line of an expression can be 100,000.
pub const EXCERPT_CHARS_MAX: usize = 4_096;

/// Questions to the API server at once, on behalf of requests that wait for an answer. Each is asked by a request of the
/// API server itself, which has 600 in flight by default.
pub const QUESTIONS_MAX: usize = 128;

/// For one question. The webhook has 10 seconds for all of its own.
pub const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a Lease is good for after it was renewed: for so long nobody writes when the one that did has died. Requests
/// are decided all the time.
pub const LEASE_DURATION: Duration = Duration::from_secs(6);

/// The longest that is believed of a Lease. One that somebody edited must not be held by the dead for ever.
pub const LEASE_DURATION_MAX: Duration = Duration::from_mins(1);

/// After how long a holder that could not renew its Lease no longer counts on it: sooner than another may take it, by as much
/// as a write that is under way may take to end.
pub const LEASE_RENEW_DEADLINE: Duration = Duration::from_secs(4);

/// How often the Lease is renewed, and looked at by those who don't hold it. It is half a kilobyte, and a cluster's nodes
/// write one each every ten seconds.
pub const LEASE_INTERVAL: Duration = Duration::from_secs(1);

/// How often one look at the Lease is begun anew because somebody wrote it meanwhile. There will be another look.
pub const LEASE_ATTEMPTS_MAX: usize = 3;

/// How long stopping waits for the Lease to be given back. Without that, it ends by itself.
pub const LEASE_RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the API server waits for an answer while break-glass suspends everything: whoever broke the glass wants the
/// cluster to move, and a server that hangs must not slow every request down.
pub const SUSPENDED_TIMEOUT_SECONDS: u8 = 2;

/// How long a BreakGlass is good for at most, whatever it says: somebody will have forgotten it.
pub const BREAK_GLASS_MAX: Duration = Duration::from_hours(24);

/// How often a BreakGlass that is active is told in the log.
pub const BREAK_GLASS_REMINDER: Duration = Duration::from_mins(1);

/// How often the API server is asked something, only to see that it can be reached.
pub const FRESHNESS_INTERVAL: Duration = Duration::from_secs(10);

/// For such a question.
pub const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a replica may be cut off before it calls itself stale. An API server that restarts takes less; if it were
/// less than that, every replica would be unready when it comes back and needs them.
pub const STALE_AFTER: Duration = Duration::from_mins(2);

/// Objects in a page of a list that is audited: half a megabyte of text in most clusters, which is in memory three times
/// while it is read. A thousand requests for 100,000 objects are nothing to the API server.
pub const AUDIT_PAGE_OBJECTS: u32 = 100;

/// The longest wait before a kind that can't be audited is tried again. There may be hundreds for want of a right, and
/// whoever gives one waits that long.
pub const AUDIT_RETRY_INTERVAL_MAX: Duration = Duration::from_secs(20);

/// Kinds that can't be audited and that a metric names; more are only counted. Each is a series of its own.
pub const UNREADABLE_KINDS_SHOWN_MAX: usize = 100;

/// Lists that are read at a time for the audit. More would be no faster, as one thread looks at all of them, and each costs
/// the API server and us a page of memory.
pub const LISTS_AT_ONCE_MAX: usize = 2;

/// Objects that wait to be audited. The watches wait when there are more, and the API server keeps the rest.
pub const OBJECTS_WAITING_MAX: usize = 64;

/// How long the audit works before it rests for as long, so that it never has more than half a core: requests come first.
pub const WORK_SLICE: Duration = Duration::from_millis(10);

/// How often the audit asks which kinds there are. Whoever applies a CRD waits that long for its objects to be audited.
pub const AUDIT_DISCOVERY_INTERVAL: Duration = Duration::from_secs(10);

/// How long an audit goes on after its replica lost the Lease, in case that it comes back: longer than an API server takes to
/// restart. If another replica has it, the memory of two audits is used for so long.
pub const AUDIT_GRACE: Duration = Duration::from_mins(1);

/// How often the audit tells what it found where that need not be at once: reports that are due, and what is left to do.
pub const AUDIT_TICK: Duration = Duration::from_millis(500);

/// How often metrics are told what the audit found, if it found anything: sooner than anybody scrapes them, and so that
/// ten thousand changes are told a few times only.
pub const AUDIT_TOLD_INTERVAL: Duration = Duration::from_millis(20);

/// Policies that can't be asked about what exists and that a metric names; more are only counted.
pub const LEFT_OUT_SHOWN_MAX: usize = 100;

/// Events on objects that may be written at once, over all; see [`EVENT_INTERVAL`].
pub const EVENTS_BURST: u32 = 100;

/// How often there may be another Event, once the burst is used up: with a kilobyte each and the hour for which the API
/// server keeps them, some 4 MB in etcd at most.
pub const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// The same for one policy in one namespace: whoever sees ten objects fail knows what is wrong.
pub const NAMESPACE_EVENTS_BURST: u32 = 10;

/// See [`NAMESPACE_EVENTS_BURST`].
pub const NAMESPACE_EVENT_INTERVAL: Duration = Duration::from_mins(1);

/// Policies and namespaces whose Events are counted at a time; those of others wait for the sum.
pub const EVENT_SERIES_MAX: usize = 10_000;

/// How long Events that are left out add up before the policy itself gets one that says how many: an edit of a policy is
/// asked about ten thousand objects in a few seconds.
pub const EVENTS_SUMMED_INTERVAL: Duration = Duration::from_secs(30);

/// Events that wait to be written.
pub const EVENTS_WAITING_MAX: usize = 256;

/// For writing one. Others wait behind it.
pub const EVENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an Event's note. Kubernetes takes 1,024.
pub const EVENT_NOTE_BYTES_MAX: usize = 1_000;

/// How long the first audit waits for the API server's own policies, so that objects are not looked at twice.
pub const NATIVES_PATIENCE: Duration = Duration::from_secs(5);

/// Namespaces that are looked at one by one when they changed. If more changed at once, everything is read once instead.
pub const NAMESPACES_RELISTED_MAX: usize = 16;

/// How often the reports of a namespace are written: each write is a new version of up to half a megabyte in etcd.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Results in a report, about: with their messages cut, some 400 KiB, where etcd takes 1.5 MiB.
pub const REPORT_RESULTS: usize = 400;

/// Results of a namespace that are listed. More are counted; nobody reads ten thousand one by one.
pub const REPORT_RESULTS_MAX: usize = 10_000;

/// Where the message of a result is cut.
pub const REPORT_MESSAGE_CHARS_MAX: usize = 512;

/// Namespaces whose reports are made at once, and are in memory together.
pub const NAMESPACES_WRITTEN_MAX: usize = 32;

/// Reports that are written at once.
pub const REPORT_WRITES_MAX: usize = 4;

/// Reports in a page when those that there are are read.
pub const REPORTS_PAGE: u32 = 20;
