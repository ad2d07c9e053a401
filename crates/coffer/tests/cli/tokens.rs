//! A token that is renewed: by itself, by its accessor, by asking for it.

use crate::server::Server;

#[test]
fn token_is_renewed_for_as_long_as_it_says_and_is_not_printed() {
    let server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    let made = server.coffer(&["token", "create", "--policy", "default", "--ttl", "2h"]);
    let token = made.stdout.trim();
    let accessor = made.stderr.trim().rsplit(' ').next().unwrap();

    let by_accessor = server.coffer(&["token", "renew", "--accessor", accessor]);
    assert_eq!((by_accessor.code, by_accessor.stderr.as_str()), (0, "renewed for 2h\n"));
    let by_itself = server.coffer_as(token, &["token", "renew", "--increment", "1h"]);
    assert_eq!((by_itself.code, by_itself.stdout.as_str(), by_itself.stderr.as_str()), (0, "", "renewed for 1h\n"));
    let asked = server.coffer_with_input(&["token", "renew", "--ask", "--increment", "30m"], token);
    assert_eq!((asked.code, asked.stderr.as_str()), (0, "renewed for 30m\n"));
    let shown = server.coffer(&["token", "renew", "--accessor", accessor, "--increment", "40m", "--format", "json"]);
    let text = format!("{{\n  \"accessor\": \"{accessor}\",\n  \"lease_duration\": 2400,\n  \"renewable\": true\n}}\n");
    assert_eq!((shown.code, shown.stdout), (0, text));

    let fixed = server.stdout(&["token", "create", "--policy", "default", "--ttl", "1h", "--not-renewable"]);
    let refused = server.coffer_as(fixed.trim(), &["token", "renew"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.starts_with("error: ") && !refused.stderr.contains(fixed.trim()), "{refused:?}");
}
