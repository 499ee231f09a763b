//! Which user owns the other end of a loopback connection: the kernel's word, not the peer's.
//!
//! The kernel is asked by netlink (`sock_diag(7)`) for the one socket whose local address is our peer and whose peer is
//! us. Where a sandbox has no netlink, the same is read from `/proc/net/tcp{,6}`.
//!
//! Only an established socket counts. A socket that its process has closed already belongs to nobody, and the kernel
//! reports such an orphan as owned by uid 0: whoever connects, sends a request and closes at once would be root.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// A Linux user id.
pub(crate) type Uid = u32;

const TCP_ESTABLISHED: u8 = 1;

/// The uid that owns the socket at `peer` that is connected to `local`; `None` when there is no such socket, or it is
/// no longer established. Blocks for as long as the kernel takes to look it up.
pub(crate) fn owner_of_peer(peer: SocketAddr, local: SocketAddr) -> io::Result<Option<Uid>> {
    let (peer, local) = (canonical(peer), canonical(local));
    match ask_sock_diag(peer, local) {
        Ok(owner) => Ok(owner),
        Err(error) => {
            tracing::debug!(%error, "sock_diag is not available, reading /proc/net/tcp");
            search_proc(peer, local)
        }
    }
}

/// An IPv4 address as such, also where a dual-stack socket shows it inside an IPv6 one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h.
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
const ENOENT: i32 = 2;

fn ask_sock_diag(peer: SocketAddr, local: SocketAddr) -> io::Result<Option<Uid>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    rustix::net::send(&socket, &request(peer, local), SendFlags::empty())?;
    // The kernel answers while it takes the request, so the answer is there or never will be.
    let mut answer = [0_u8; 4096];
    let (received, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)?;
    parse_answer(&answer[..received], peer, local)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` for one exact socket.
fn request(peer: SocketAddr, local: SocketAddr) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(REQUEST_BYTES as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(HEADER_BYTES, &[family(peer), IPPROTO_TCP]);
    put(HEADER_BYTES + 4, &u32::MAX.to_ne_bytes()); // any state
    put(HEADER_BYTES + 8, &peer.port().to_be_bytes());
    put(HEADER_BYTES + 10, &local.port().to_be_bytes());
    put(HEADER_BYTES + 12, &address_bytes(peer));
    put(HEADER_BYTES + 28, &address_bytes(local));
    put(HEADER_BYTES + 48, &[0xff; 8]); // no cookie
    request
}

fn family(address: SocketAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn address_bytes(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Reads `struct inet_diag_msg`, and believes it only if it is about the very socket that was asked for.
fn parse_answer(answer: &[u8], peer: SocketAddr, local: SocketAddr) -> io::Result<Option<Uid>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "sock_diag answered something else");
    let kind = u16::from_ne_bytes(array(answer, 4).ok_or_else(damaged)?);
    if kind == NLMSG_ERROR {
        let errno = -i32::from_ne_bytes(array(answer, HEADER_BYTES).ok_or_else(damaged)?);
        return if errno == ENOENT { Ok(None) } else { Err(io::Error::from_raw_os_error(errno)) };
    }
    if kind != SOCK_DIAG_BY_FAMILY {
        return Err(damaged());
    }
    let message = answer.get(HEADER_BYTES..).ok_or_else(damaged)?;
    let [family, state] = array(message, 0).ok_or_else(damaged)?;
    let address = |address_at, port_at| -> Option<SocketAddr> {
        let bytes: [u8; 16] = array(message, address_at)?;
        let ip = match family {
            AF_INET => IpAddr::from(<[u8; 4]>::try_from(&bytes[..4]).ok()?),
            AF_INET6 => IpAddr::from(bytes),
            _ => return None,
        };
        Some(canonical(SocketAddr::new(ip, u16::from_be_bytes(array(message, port_at)?))))
    };
    let source = address(8, 4).ok_or_else(damaged)?;
    let destination = address(24, 6).ok_or_else(damaged)?;
    let uid = u32::from_ne_bytes(array(message, 64).ok_or_else(damaged)?);
    let inode = u32::from_ne_bytes(array(message, 68).ok_or_else(damaged)?);
    // The kernel falls back to a listening socket on the same port: that is not who connected.
    let exact = source == peer && destination == local;
    Ok((exact && state == TCP_ESTABLISHED && inode != 0).then_some(uid))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn search_proc(peer: SocketAddr, local: SocketAddr) -> io::Result<Option<Uid>> {
    // A program may reach an IPv4 address through an IPv6 socket (Java does): then it is listed in tcp6 only.
    if peer.is_ipv4()
        && let Some(uid) = search_table(&std::fs::read_to_string("/proc/net/tcp")?, peer, local)
    {
        return Ok(Some(uid));
    }
    match std::fs::read_to_string("/proc/net/tcp6") {
        Ok(table) => Ok(search_table(&table, peer, local)),
        // Not there when IPv6 is switched off.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Columns: sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode, …
fn search_table(table: &str, peer: SocketAddr, local: SocketAddr) -> Option<Uid> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let &[_, source, destination, state, _, _, _, uid, _, inode] = columns.as_slice() else { return None };
        let exact = parse_proc_address(source)? == peer && parse_proc_address(destination)? == local;
        let established = state == "01" && inode != "0";
        if exact && established { uid.parse().ok() } else { None }
    })
}

/// `0100007F:1388`: each 32-bit word of the address in the machine's byte order, the port in plain hex.
fn parse_proc_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .map(|i| Some(u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [v4] => IpAddr::from(*v4),
        [_, _, _, _] => IpAddr::from(<[u8; 16]>::try_from(words.concat()).ok()?),
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connection(bind: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(bind).expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        (client, accepted)
    }

    fn ends(accepted: &TcpStream) -> (SocketAddr, SocketAddr) {
        (accepted.peer_addr().expect("a peer"), accepted.local_addr().expect("an address"))
    }

    #[test]
    fn our_own_connection_is_ours_by_either_way_of_asking() {
        let me = rustix::process::getuid().as_raw();
        let (_client, accepted) = connection("127.0.0.1:0");
        let (peer, local) = ends(&accepted);
        assert_eq!(owner_of_peer(peer, local).expect("asked"), Some(me));
        assert_eq!(search_proc(peer, local).expect("read"), Some(me));
    }

    #[test]
    fn a_closed_sockets_orphan_is_nobodys_and_not_roots() {
        let (client, accepted) = connection("127.0.0.1:0");
        let (peer, local) = ends(&accepted);
        drop(client);
        assert_eq!(owner_of_peer(peer, local).expect("asked"), None);
        assert_eq!(search_proc(peer, local).expect("read"), None);
    }

    #[test]
    fn another_4_tuple_is_not_found() {
        let (_client, accepted) = connection("127.0.0.1:0");
        let (peer, local) = ends(&accepted);
        let other = SocketAddr::new(peer.ip(), peer.port() ^ 1);
        assert_eq!(owner_of_peer(other, local).expect("asked"), None);
        assert_eq!(search_proc(other, local).expect("read"), None);
    }

    #[test]
    fn proc_addresses_are_read_as_the_kernel_writes_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse_proc_address("0100007F:1388"), Some("127.0.0.1:5000".parse().expect("valid")));
            assert_eq!(
                parse_proc_address("0000000000000000FFFF00000100007F:1388"),
                Some("127.0.0.1:5000".parse().expect("valid"))
            );
            assert_eq!(
                parse_proc_address("00000000000000000000000001000000:1388"),
                Some("[::1]:5000".parse().expect("valid"))
            );
        }
        assert_eq!(parse_proc_address("01:1388"), None);
        assert_eq!(parse_proc_address("zz00007F:1388"), None);
    }

    #[test]
    fn a_cut_off_answer_is_an_error_and_never_an_owner() {
        let peer: SocketAddr = "127.0.0.1:1".parse().expect("valid");
        for bytes in 0..HEADER_BYTES + 72 {
            let mut answer = vec![0; bytes];
            if bytes >= 6 {
                answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
            }
            assert!(parse_answer(&answer, peer, peer).is_err(), "{bytes} bytes");
        }
    }
}
