//! Clients that ask much, or that are slow on purpose, and a while in which nothing happens at all.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::World;
use crate::client::Verdict;
use crate::faults::Seen;
use crate::load::connect;

/// The API server takes 3 MiB of a request, names and braces included.
const LARGE_BYTES: usize = 3 * 1024 * 1024 - 4096;

/// Large ones at a time: each replica holds 32 MiB of bodies.
const LARGE_AT_ONCE: usize = 8;

/// Memory may differ by this much from the beginning of a soak to its end, in MiB: what the allocator keeps for a while.
const SOAK_MIB_MAX: u64 = 32;

pub fn large_requests(world: &mut World) -> Seen {
    let (begun, mut complaints, mut slowest) = (Instant::now(), Vec::new(), Duration::ZERO);
    let mut asked = 0;
    while begun.elapsed() < world.sizes.lasts {
        let asking = (0..LARGE_AT_ONCE).map(|n| world.client.ask_large(n % 2 == 0, LARGE_BYTES));
        let answers = world.runtime.block_on(futures::future::join_all(asking));
        for answer in answers {
            asked += 1;
            slowest = slowest.max(answer.took);
            if answer.verdict != Verdict::Right {
                complaints.push(format!("a large request: {:?}", answer.verdict));
            }
        }
    }
    world.settle();
    let (slowest, memory) = (slowest.as_millis(), world.fleet.memory_mib());
    let notes = format!(
        "{asked} of 3 MiB, {LARGE_AT_ONCE} at once, all right, the slowest after {slowest} ms; memory {memory:?} MiB"
    );
    Seen { notes, complaints, ..Seen::default() }
}

/// Connections that say nothing, and requests that come a byte a second, at each replica.
pub fn slow_clients(world: &mut World) -> Seen {
    let before = world.fleet.memory_mib();
    let count = world.sizes.idle_connections;
    let ports: Vec<_> = world.fleet.replicas.iter().map(|replica| replica.port).collect();
    let (lasts, begun) = (world.sizes.lasts, Instant::now());
    let seen = world.runtime.block_on(async {
        let mut slow = JoinSet::new();
        for n in 0..count {
            let port = ports[n % ports.len()];
            if n % 10 == 0 {
                slow.spawn(timeout(lasts, byte_by_byte(port)));
            } else {
                slow.spawn(timeout(lasts, say_nothing(port)));
            }
        }
        let mut closed = 0;
        while let Some(ended) = slow.join_next().await {
            closed += usize::from(ended.unwrap().is_ok());
        }
        closed
    });
    let during = world.fleet.memory_mib();
    world.settle();
    let seconds = begun.elapsed().as_secs();
    let notes = format!(
        "{count} connections for {seconds} s, a tenth of them with requests of a byte a second; {seen} were closed by \
         the replicas; memory {before:?}, then {during:?} MiB"
    );
    Seen { notes, ..Seen::default() }
}

async fn say_nothing(port: u16) {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    // Readable when it is closed.
    let _ = stream.readable().await;
}

async fn byte_by_byte(port: u16) {
    let Ok(mut stream) = connect(port).await else { return };
    for byte in b"POST /validate/fail HTTP/1.1\r\ncontent-type: application/json\r\n".iter().cycle()
    {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub fn soak(world: &mut World) -> Seen {
    // What is made on the first requests is not what grows.
    sleep(world.sizes.settle);
    let before = world.fleet.memory_mib();
    sleep(world.sizes.soak);
    let after = world.fleet.memory_mib();
    let grew = before.iter().zip(&after).any(|(before, after)| after > &(before + SOAK_MIB_MAX));
    let seconds = world.sizes.soak.as_secs();
    let notes = format!("{seconds} s; memory {before:?}, then {after:?} MiB");
    let complaints = if grew { vec![format!("memory grew: {notes}")] } else { Vec::new() };
    Seen { notes, complaints, ..Seen::default() }
}
