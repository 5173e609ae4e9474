//! Connecting: transport security, logins, and servers that do not answer.

use crate::support::{Fixture, LIMIT, eventually, login, stop, tag};
use lab::mysqld::TopologyOptions;
use lab::pki::Authority;
use mysql_takeover::api::cluster::TlsMode;
use mysql_takeover::mysql::{
    Endpoint, Login, MysqlServers, ServerError, ServerErrorKind, Servers as _, Session as _,
};
use std::time::{Duration, Instant};

async fn connect(endpoint: &Endpoint) -> Result<(), ServerError> {
    MysqlServers.connect(endpoint, &tag(0, "observe"), LIMIT).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_security_is_what_the_mode_says() {
    let fixture = Fixture::start("adapter-tls", 1).await;
    let right = fixture.endpoint(0);
    let stranger: std::sync::Arc<[u8]> =
        Authority::new("stranger").unwrap().certificate_pem().as_bytes().into();
    let with = |mode, change: &dyn Fn(&mut Endpoint)| {
        let mut endpoint = right.clone();
        endpoint.tls.mode = mode;
        change(&mut endpoint);
        endpoint
    };
    let same = |_: &mut Endpoint| {};
    let other_name = |endpoint: &mut Endpoint| endpoint.tls.server_name = Some("mysql-9".into());
    let other_authority = |endpoint: &mut Endpoint| endpoint.tls.ca_pem = Some(stranger.clone());
    let no_authority = |endpoint: &mut Endpoint| endpoint.tls.ca_pem = None;
    let no_name = |endpoint: &mut Endpoint| endpoint.tls.server_name = None;

    connect(&with(TlsMode::VerifyIdentity, &same)).await.unwrap();
    connect(&with(TlsMode::VerifyCA, &same)).await.unwrap();
    connect(&with(TlsMode::VerifyCA, &other_name)).await.unwrap();
    connect(&with(TlsMode::Required, &other_authority)).await.unwrap();
    connect(&with(TlsMode::Required, &no_authority)).await.unwrap();

    for refused in [
        with(TlsMode::VerifyIdentity, &other_name),
        with(TlsMode::VerifyIdentity, &other_authority),
        with(TlsMode::VerifyIdentity, &no_name),
        with(TlsMode::VerifyCA, &other_authority),
        with(TlsMode::VerifyCA, &no_authority),
    ] {
        let error = connect(&refused).await.unwrap_err();
        assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error}");
        assert!(error.message.contains("tls") || error.message.contains("name"), "{error}");
    }

    // The documented account may log in over TLS only.
    let error = connect(&with(TlsMode::Disabled, &same)).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::AccessDenied, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_password_that_the_server_has_not_cached_works_too() {
    let mut options = TopologyOptions::new("adapter-clear", 1);
    options.require_tls = false;
    let fixture = Fixture::start_with(options).await;
    let mut endpoint = fixture.endpoint(0);
    endpoint.tls.mode = TlsMode::Disabled;
    // Empties the cache of caching_sha2_password.
    fixture.at(0).execute(&["FLUSH PRIVILEGES"]).await.unwrap();
    connect(&endpoint).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_fail_with_what_to_do_and_without_the_password() {
    let fixture = Fixture::start("adapter-login", 1).await;
    let mut endpoint = fixture.endpoint(0);
    endpoint.login = Login::new(&fixture.accounts.operator.user, "geheim'\\");
    let error = connect(&endpoint).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ServerErrorKind::AccessDenied, Some(1045)), "{error}");
    assert!(error.message.contains("Secret") && !error.message.contains("geheim"), "{error}");

    let as_account = |account| Endpoint { login: login(account), ..fixture.endpoint(0) };
    MysqlServers.check_login(&as_account(&fixture.accounts.replication), LIMIT).await.unwrap();
    let error =
        MysqlServers.check_login(&as_account(&fixture.accounts.application), LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::AccessDenied);
    assert!(error.message.contains("REPLICATION SLAVE"), "{error}");

    // Behind a Service stands a server whose certificate carries another name.
    let mut service = fixture.endpoint(0);
    service.tls.server_name = Some("mysql-primary.shop.svc".into());
    let uuid = MysqlServers.server_uuid_behind(&service, LIMIT).await.unwrap();
    assert_eq!(uuid, fixture.at(0).server_uuid().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_or_frozen_is_unreachable_within_the_bound() {
    let fixture = Fixture::start("adapter-frozen", 1).await;
    let mut nobody = fixture.endpoint(0);
    nobody.port = 1;
    let error = connect(&nobody).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error}");

    stop(fixture.at(0)).await;
    let begin = Instant::now();
    let limit = Duration::from_millis(500);
    let error = MysqlServers.connect(&fixture.endpoint(0), &tag(0, "observe"), limit).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error}");
    assert!(begin.elapsed() < limit * 2, "{:?}", begin.elapsed());
    fixture.at(0).cont().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_whom_it_greets_until_they_log_in_or_leave() {
    let fixture = Fixture::start("adapter-greeting", 2).await;
    let (mut one, mut other) = (fixture.session(0).await, fixture.session(1).await);
    let greeted = MysqlServers.greet(&fixture.endpoint(0), LIMIT).await.unwrap();
    assert!(one.greets(greeted.connection).await.unwrap());
    assert!(!other.greets(greeted.connection).await.unwrap());
    let logged_in = one.connection();
    assert!(!one.greets(logged_in).await.unwrap());
    let connection = greeted.connection;
    drop(greeted);
    eventually("the connection is closed", async || !one.greets(connection).await.unwrap()).await;

    // Greeted often, this one would shut the operator out.
    fixture.at(0).execute(&["SET GLOBAL max_connect_errors = 99"]).await.unwrap();
    let greeted = MysqlServers.greet(&fixture.endpoint(0), LIMIT).await.unwrap();
    assert!(!one.greets(greeted.connection).await.unwrap());

    let mut nobody = fixture.endpoint(0);
    nobody.port = 1;
    let error = MysqlServers.greet(&nobody, LIMIT).await.err().unwrap();
    assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error}");
    stop(fixture.at(0)).await;
    let begin = Instant::now();
    let limit = Duration::from_millis(300);
    let error = MysqlServers.greet(&fixture.endpoint(0), limit).await.err().unwrap();
    assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error}");
    assert!(begin.elapsed() < limit * 3, "{:?}", begin.elapsed());
    fixture.at(0).cont().unwrap();
}
