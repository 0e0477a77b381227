//! A name server that answers what the test wants.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What to answer a question with.
pub(crate) enum Records {
    /// Addresses of the asked type, with their TTL in seconds.
    Addresses(u32, Vec<IpAddr>),
    /// The response code alone: 2 is `SERVFAIL`, 3 is `NXDOMAIN`.
    Code(u8),
    /// The name is another one's alias (CNAME).
    Alias(&'static str),
    Nothing,
}

/// A name server over UDP; stops when dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    /// Answers each question (`name` without the last dot, and its type) by `answer`.
    pub(crate) async fn start(answer: impl Fn(&str, u16) -> Records + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(Mutex::new(Vec::new()));
        let noted = questions.clone();
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                let (n, from) = socket.recv_from(&mut packet).await.unwrap();
                let (name, kind, end) = question(&packet[..n]);
                noted.lock().unwrap().push(format!("{name} {kind}"));
                let records = answer(&name, kind);
                if let Some(reply) = reply(&packet[..end], kind, &records) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self {
            address,
            questions,
            task,
        }
    }

    /// `name type` of each question; type 1 is A, 28 is AAAA. Sorted.
    pub(crate) fn questions(&self) -> Vec<String> {
        let mut questions = self.questions.lock().unwrap().clone();
        questions.sort();
        questions
    }
}

/// Name and type of the first question, and where it ends (RFC 1035 section 4.1.2).
fn question(packet: &[u8]) -> (String, u16, usize) {
    let mut labels = Vec::new();
    let mut at = 12;
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        let label = &packet[at + 1..at + 1 + length];
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (labels.join("."), kind, at + 5)
}

fn reply(question: &[u8], kind: u16, records: &Records) -> Option<Vec<u8>> {
    let (code, ttl, addresses) = match records {
        Records::Nothing => return None,
        Records::Code(code) => (*code, 0, Vec::new()),
        Records::Alias(to) => {
            let mut reply = question.to_vec();
            reply[2] |= 0x80;
            reply[3] = 0x80;
            reply[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
            // The name at byte 12, CNAME, IN, 5 s.
            reply.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 5]);
            let mut name: Vec<u8> = to
                .split('.')
                .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
                .collect();
            name.push(0);
            reply.extend_from_slice(&(name.len() as u16).to_be_bytes());
            reply.extend_from_slice(&name);
            return Some(reply);
        }
        Records::Addresses(ttl, addresses) => {
            let fits = |ip: &&IpAddr| ip.is_ipv4() == (kind == 1);
            (0, *ttl, addresses.iter().filter(fits).copied().collect())
        }
    };
    let mut reply = question.to_vec();
    // An answer, recursion available; one question, so many answers, nothing else.
    reply[2] |= 0x80;
    reply[3] = 0x80 | code;
    reply[4..12].copy_from_slice(&[0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    for address in &addresses {
        // The name is the one at byte 12.
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1]);
        reply.extend_from_slice(&ttl.to_be_bytes());
        match address {
            IpAddr::V4(ip) => {
                reply.extend_from_slice(&[0, 4]);
                reply.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                reply.extend_from_slice(&[0, 16]);
                reply.extend_from_slice(&ip.octets());
            }
        }
    }
    Some(reply)
}
