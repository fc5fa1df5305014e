use super::*;

const ID: &str = "0190d1a2-0000-7000-8000-000000000001";
const CONVERSATION: &str = "5b1c7c1e-0000-4000-8000-000000000002";

fn expected() -> Head {
    let bytes = |id: &str| id.as_bytes().try_into().unwrap();
    Head { seq: 1841, id: bytes(ID), conversation: bytes(CONVERSATION) }
}

/// The message with its first keys in the service's order, and in one that only a parser reads.
fn messages() -> [String; 2] {
    [
        format!(r#"{{"seq":1841,"id":"{ID}","conversationId":"{CONVERSATION}","content":"x"}}"#),
        format!(r#"{{"content":"x", "conversationId":"{CONVERSATION}","seq":1841,"id":"{ID}"}}"#),
    ]
}

#[test]
fn events_and_replies_are_read_whatever_the_order_of_their_keys() {
    for message in messages() {
        let native = |text: String| read(Protocol::Native, text.as_bytes()).unwrap();
        let event = format!(r#"{{"event":"newMessage","cursor":"k.1841","data":{message}}}"#);
        assert_eq!(native(event), Incoming::Message(expected()));
        let reply = format!(r#"{{"id":1000000007,"ok":true,"data":{{"message":{message}}}}}"#);
        assert_eq!(native(reply), Incoming::Accepted(7, expected()));

        let socketio = |text: String| read(Protocol::Socketio, text.as_bytes()).unwrap();
        let event = format!(r#"42/messaging,["newMessage",{message},"k.1841"]"#);
        assert_eq!(socketio(event), Incoming::Message(expected()));
        let reply = format!(r#"43/messaging,1000000007[{{"success":true,"message":{message}}}]"#);
        assert_eq!(socketio(reply), Incoming::Accepted(7, expected()));
    }
}

#[test]
fn refusals_keep_their_code() {
    let text = br#"{"id":1000000003,"ok":false,"error":{"code":"rate_limited","message":"x"}}"#;
    let refused = Incoming::Refused(3, "rate_limited".into());
    assert_eq!(read(Protocol::Native, text).unwrap(), refused);
    let text = br#"43/messaging,1000000003[{"success":false,"error":"x","code":"rate_limited"}]"#;
    assert_eq!(read(Protocol::Socketio, text).unwrap(), refused);
    let text = br#"44/messaging,{"message":"expired","data":{"code":"unauthenticated"}}"#;
    let Incoming::Rejected(why) = read(Protocol::Socketio, text).unwrap() else { panic!() };
    assert!(why.contains("unauthenticated"));
}

#[test]
fn the_steps_of_a_connection_are_recognised() {
    let native = |text: &str| read(Protocol::Native, text.as_bytes());
    let connected = r#"{"event":"connected","data":{"recovered":true,"cursor":"k.7"}}"#;
    let welcome = Welcome { recovered: true, cursor: Some("k.7".into()), pid: None };
    assert_eq!(native(connected), Ok(Incoming::Ready(welcome)));
    assert_eq!(native(r#"{"event":"caughtUp","cursor":"k.7","data":{}}"#), Ok(Incoming::CaughtUp));
    let reset = native(r#"{"event":"reset","data":{"reason":"x"}}"#);
    assert_eq!(reset, Ok(Incoming::Missed("reset".into())));
    assert_eq!(native(r#"{"event":"userTyping","data":{}}"#), Ok(Incoming::Other));
    assert!(native("{").unwrap_err().contains("no sense"));
    let socketio = |text: &str| read(Protocol::Socketio, text.as_bytes());
    assert_eq!(socketio(r#"0{"sid":"a"}"#), Ok(Incoming::Open));
    let welcome = Welcome { pid: Some("p".into()), ..Welcome::default() };
    assert_eq!(socketio(r#"40/messaging,{"sid":"a","pid":"p"}"#), Ok(Incoming::Ready(welcome)));
    assert_eq!(socketio(r#"42/messaging,["caughtUp",{},"k.7"]"#), Ok(Incoming::CaughtUp));
    assert_eq!(socketio("2"), Ok(Incoming::Beat));
    assert_eq!(socketio(r#"42/messaging,["userTyping",{}]"#), Ok(Incoming::Other));
    assert!(socketio("9").is_err());
}

#[test]
fn a_filled_request_is_valid_json_and_its_stamp_is_found_again() {
    for protocol in [Protocol::Native, Protocol::Socketio] {
        let mut request = Request::new(protocol, 100);
        for stamp in [
            Stamp { sender: 0, number: 0, due: 0 },
            Stamp { sender: 499, number: 123_456, due: 9_876_543_210 },
        ] {
            let frame = request.fill(&expected().conversation, stamp);
            assert_eq!(Stamp::find(frame), Some(stamp));
            let json = &frame[memchr(b'{', frame).unwrap()..];
            let json = json.strip_suffix(b"]").unwrap_or(json);
            let value: Value = serde_json::from_slice(json).unwrap();
            let data = value.get("data").unwrap_or(&value);
            assert_eq!(data["content"].as_str().unwrap().len(), 100);
            assert_eq!(data["conversationId"], CONVERSATION);
            uuid::Uuid::parse_str(data["clientMessageId"].as_str().unwrap()).unwrap();
        }
    }
}

#[test]
fn whoever_comes_back_shows_its_ticket() {
    let ticket = Ticket { cursor: "k.7".into(), pid: Some("p".into()) };
    let native = Protocol::Native.upgrade("h", "t", Some(&ticket));
    assert!(native.starts_with("GET /messaging/ws?cursor=k.7 HTTP/1.1\r\n"), "{native}");
    assert!(native.contains("Authorization: Bearer t\r\n"));
    let socketio = Protocol::Socketio.introduction("t", Some(&ticket));
    assert_eq!(socketio, r#"40/messaging,{"pid":"p","offset":"k.7","token":"t"}"#);
    let first = Protocol::Socketio.introduction("t", None);
    assert_eq!(first, r#"40/messaging,{"token":"t"}"#);
}
