//! Servers that are none, or mean harm: an error, never a panic, never a hang.

use crate::support::tag;
use mysql_takeover::api::cluster::TlsMode;
use mysql_takeover::mysql::{Endpoint, Login, MysqlServers, ServerErrorKind, Servers as _, TlsSettings};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(2);

/// A packet of the protocol.
fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&[low, middle, high, sequence], body].concat()
}

/// A greeting of a server without TLS that wants `caching_sha2_password`.
fn greeting() -> Vec<u8> {
    let mut body = b"\x0a9.7.4\0\x01\0\0\0abcdefgh\0".to_vec();
    // Capabilities in two halves: protocol 4.1, secure connection, plugins; UTF-8; autocommit.
    body.extend(0x8201_u16.to_le_bytes());
    body.extend([0xff, 2, 0]);
    body.extend(0x0008_u16.to_le_bytes());
    body.extend([21; 1]);
    body.extend([0; 10]);
    body.extend(b"ijklmnopqrst\0caching_sha2_password\0");
    packet(0, &body)
}

/// A server that sends these bytes, one after each packet that it gets.
fn serve(answers: Vec<Vec<u8>>) -> (Endpoint, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT * 2)).unwrap();
        for answer in answers {
            // Ignoring: the client may have left, which is what is tested.
            let _ = stream.write_all(&answer);
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    let endpoint = Endpoint {
        instance: "mysql-0".into(),
        address: address.ip(),
        port: address.port(),
        login: Login::new("operator", "geheim"),
        tls: TlsSettings { mode: TlsMode::Disabled, ca_pem: None, server_name: None },
    };
    (endpoint, server)
}

/// Connects to such a server.
async fn connect_to(answers: Vec<Vec<u8>>) -> mysql_takeover::mysql::ServerError {
    let (endpoint, server) = serve(answers);
    let begin = Instant::now();
    let error = MysqlServers.connect(&endpoint, &tag(1, "work"), LIMIT).await.unwrap_err();
    assert!(begin.elapsed() < LIMIT * 2);
    assert!(!error.to_string().contains("geheim"), "{error}");
    server.join().unwrap();
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_an_unreachable_server() {
    for nonsense in [
        vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
        vec![packet(0, b"")],
        vec![packet(0, &[0x0a, b'9'])],
        vec![packet(0, &[0xfe; 300])],
        vec![vec![0xff, 0xff, 0xff, 0]],
        vec![],
        // Asks for the password under a public key that is none.
        vec![greeting(), packet(2, &[1, 4]), packet(4, b"\x01no key")],
        vec![greeting(), packet(2, &[0xfe]), packet(4, &[0xfe])],
    ] {
        let shown = format!("{nonsense:?}");
        let error = connect_to(nonsense).await;
        assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error} from {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_never_sent_in_clear() {
    let switch = [b"\xfemysql_clear_password\0".as_slice(), b"abcdefghijklmnopqrst\0"].concat();
    let error = connect_to(vec![greeting(), packet(2, &switch)]).await;
    assert_eq!(error.kind, ServerErrorKind::AccessDenied, "{error}");
    assert!(error.message.contains("plugin"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_greets_otherwise_than_a_server_is_unreachable() {
    for nonsense in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        packet(0, b""),
        packet(0, &[0x0a, b'9']),
        packet(0, b"\xff\x69\x04Host is blocked"),
        vec![0xff, 0xff, 0xff, 0],
        vec![],
    ] {
        let shown = format!("{nonsense:?}");
        let (endpoint, server) = serve(vec![nonsense]);
        let error = MysqlServers.greet(&endpoint, LIMIT).await.err().unwrap();
        assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error} from {shown}");
        server.join().unwrap();
    }
}
