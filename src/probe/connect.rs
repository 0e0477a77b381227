//! TCP connections that leave by the egress they were told to, or not at all.
//!
//! A run that left by another address would blame the wrong one, so nothing falls back: a missing
//! address or interface fails the run. Source addresses are bound without reserving a port
//! (`IP_BIND_ADDRESS_NO_PORT`, ip(7)): a plain bind runs out of ports after some 28,000 connections
//! a minute for all destinations together.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use tokio::net::{TcpSocket, TcpStream};

use super::failure::{failure, from_io, local};
use super::progress::Progress;
use crate::domain::cell::{Egress, IpFamily, Way};
use crate::domain::observation::{Failure, FailureKind, Phase};

/// Which IP versions of a target an egress can use.
pub(super) fn family(egress: &Egress) -> Result<IpFamily, Failure> {
    if let Some(site) = &egress.site {
        let message = format!(
            "egress {} is at site {site}, and only the agent there can send from it",
            egress.name
        );
        return Err(failure(Phase::Connect, FailureKind::EgressMissing, message));
    }
    let bound = match egress.way {
        Way::Address(IpAddr::V4(_)) => IpFamily::V4,
        Way::Address(IpAddr::V6(_)) => IpFamily::V6,
        Way::Routes | Way::Interface(_) | Way::Proxy(_) => IpFamily::Any,
    };
    match (bound, egress.family) {
        (bound, asked) if bound == asked => Ok(asked),
        (IpFamily::Any, asked) => Ok(asked),
        (bound, IpFamily::Any) => Ok(bound),
        _ => Err(local(
            Phase::Connect,
            format!(
                "egress {} has an address of the IP version that it is told not to use",
                egress.name
            ),
        )),
    }
}

/// Whether an address that was given literally can be reached by the family.
pub(super) fn check_family(address: IpAddr, family: IpFamily) -> Result<(), Failure> {
    let (fits, wanted) = match family {
        IpFamily::Any => (true, ""),
        IpFamily::V4 => (address.is_ipv4(), "IPv4"),
        IpFamily::V6 => (address.is_ipv6(), "IPv6"),
    };
    if fits {
        return Ok(());
    }
    let message = format!("the target is {address}, and this egress speaks {wanted} only");
    Err(local(Phase::Connect, message))
}

/// Connects to the first of `addresses` that accepts; each gets its share of the time that is left.
pub(super) async fn connect(
    way: &Way,
    addresses: &[SocketAddr],
    now: &mut Progress,
) -> Result<TcpStream, Failure> {
    let mut tried: Vec<Failure> = Vec::new();
    for (index, &address) in addresses.iter().enumerate() {
        now.peer = address.to_string();
        let left = now.deadline.saturating_duration_since(Instant::now());
        let waiting = (addresses.len() - index) as u32;
        let attempt = attempt(way, address);
        let outcome = if waiting == 1 {
            attempt.await
        } else {
            let share = left / waiting;
            tokio::time::timeout(share, attempt)
                .await
                .unwrap_or_else(|_| {
                    let message = format!(
                        "{address} did not accept the connection within {} ms",
                        share.as_millis()
                    );
                    Err(failure(Phase::Connect, FailureKind::Timeout, message))
                })
        };
        match outcome {
            Ok(stream) => {
                now.route.remote = Some(address);
                now.route.local = stream.local_addr().ok();
                return Ok(stream);
            }
            // Another target does not bring the address of this host back.
            Err(failed) if failed.kind == FailureKind::EgressMissing => return Err(failed),
            Err(failed) => {
                now.route.failed.push((address, failed.message.clone()));
                tried.push(failed);
            }
        }
    }
    Err(sum_up(&tried))
}

/// One failure out of one or several attempts.
///
/// "No route" of one IP version hides what the other one said, so it names the kind only when
/// nothing else does.
pub(super) fn sum_up(tried: &[Failure]) -> Failure {
    let telling = tried
        .iter()
        .find(|f| !is_local(f.kind))
        .or(tried.iter().find(|f| f.kind == FailureKind::Unreachable))
        .or(tried.first());
    let Some(telling) = telling else {
        return local(Phase::Connect, "there is no address to connect to");
    };
    let messages: Vec<&str> = tried.iter().map(|f| f.message.as_str()).collect();
    failure(telling.phase, telling.kind, messages.join("; "))
}

fn is_local(kind: FailureKind) -> bool {
    use FailureKind::{Local, NoRoute, Unreachable};
    matches!(kind, Unreachable | NoRoute | Local)
}

async fn attempt(way: &Way, address: SocketAddr) -> Result<TcpStream, Failure> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let peer = address.to_string();
    let told = |error: std::io::Error| from_io(Phase::Connect, &peer, &error);
    let socket = socket.map_err(told)?;
    bind(&socket, way)?;
    let stream = match socket.connect(address).await {
        Ok(stream) => stream,
        Err(error) if lacks_route(way, address) => {
            let message = format!("this host has no route to {peer}: {error}");
            return Err(failure(Phase::Connect, FailureKind::NoRoute, message));
        }
        Err(error) => return Err(told(error)),
    };
    // Only costs latency when refused, so it is not worth a run.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Whether this host itself knows no way to an address.
///
/// The error of a TCP connection may come from a router far away. Connecting a datagram socket sends nothing
/// and only asks this host's routes.
fn lacks_route(way: &Way, address: SocketAddr) -> bool {
    let asked = || -> std::io::Result<()> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        match way {
            Way::Routes | Way::Proxy(_) => {}
            Way::Address(ip) => socket.bind(&SocketAddr::new(*ip, 0).into())?,
            Way::Interface(name) => socket.bind_device(Some(name.as_bytes()))?,
        }
        socket.connect(&address.into())
    };
    asked().is_err_and(|error| {
        use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable};
        matches!(error.kind(), NetworkUnreachable | HostUnreachable)
    })
}

fn bind(socket: &TcpSocket, way: &Way) -> Result<(), Failure> {
    match way {
        Way::Routes | Way::Proxy(_) => Ok(()),
        Way::Address(ip) => {
            // Kernels before 4.2 lack it; then the plain bind below is what there is.
            let _ = setsockopt(socket, IpBindAddressNoPort, &true);
            socket.bind(SocketAddr::new(*ip, 0)).map_err(|error| {
                if error.kind() == std::io::ErrorKind::AddrNotAvailable {
                    let message = format!("egress address {ip} is not on this host");
                    failure(Phase::Connect, FailureKind::EgressMissing, message)
                } else {
                    let message = format!("egress address {ip} can't be used: {error}");
                    local(Phase::Connect, message)
                }
            })
        }
        Way::Interface(name) => socket.bind_device(Some(name.as_bytes())).map_err(|error| {
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENODEV) => {
                    let message = format!("egress interface {name} is not on this host");
                    failure(Phase::Connect, FailureKind::EgressMissing, message)
                }
                Some(Errno::EPERM) => local(
                    Phase::Connect,
                    format!("egress interface {name} can't be used without CAP_NET_RAW"),
                ),
                _ => local(
                    Phase::Connect,
                    format!("egress interface {name} can't be used: {error}"),
                ),
            }
        }),
    }
}
