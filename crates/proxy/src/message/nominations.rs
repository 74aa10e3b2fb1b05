//! The fields that `Connection` names: they belong to the connection, and go no further (RFC 9110 section 7.6.1).

use std::collections::HashSet;

use smallvec::SmallVec;
use tollgate_http1::{BodyLength, FieldId, Fields, list_tokens};

/// A name in small letters.
type Name = SmallVec<[u8; 32]>;

/// Made once a message, whatever its fields: `Connection` may be as long as a head, and be asked about every field.
pub(crate) struct Nominations(Option<HashSet<Name, ahash::RandomState>>);

impl Nominations {
    /// For what may follow a message's body: nothing follows one that is not chunked. `None` where there are none.
    pub fn of_trailers(fields: &Fields, body: BodyLength) -> Option<Box<Self>> {
        let nominated = (body == BodyLength::Chunked).then(|| Self::of(fields));
        nominated.filter(|nominated| nominated.0.is_some()).map(Box::new)
    }

    pub fn of(fields: &Fields) -> Self {
        // The usual `keep-alive` costs no question a field.
        Self(
            nominates_any(fields).then(|| {
                fields.all(FieldId::Connection).flat_map(list_tokens).map(in_small_letters).collect()
            }),
        )
    }

    /// Neither what frames the message, whoever names it, nor what its sender waits for the answer to.
    pub fn contain(&self, id: FieldId, name: &[u8]) -> bool {
        let Some(names) = &self.0 else { return false };
        !matches!(id, FieldId::ContentLength | FieldId::Expect) && names.contains(&in_small_letters(name))
    }
}

fn in_small_letters(name: &[u8]) -> Name {
    name.iter().map(u8::to_ascii_lowercase).collect()
}

/// Whether `Connection` names any field at all that would otherwise go on.
fn nominates_any(fields: &Fields) -> bool {
    let names_none =
        |option: &[u8]| option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close");
    fields.all(FieldId::Connection).any(|value| !names_none(value) && !list_tokens(value).all(names_none))
}

#[cfg(test)]
mod tests {
    use tollgate_http1::{HeadLimits, ResponseHead, ResponseParser};

    use super::*;

    fn nominated_by(connection: &str) -> Nominations {
        let input = format!("HTTP/1.1 200 OK\r\n{connection}\r\n");
        let mut head = ResponseHead::new();
        let limits = HeadLimits::default();
        ResponseParser::new().parse(input.as_bytes(), &limits, &mut head).unwrap().unwrap();
        Nominations::of(&head.fields)
    }

    #[test]
    fn names_count_in_any_case_and_from_every_connection_field() {
        let nominated = nominated_by("Connection: close, X-One\r\nCONNECTION: keep-alive ,, x-tWO\r\n");
        for name in ["x-one", "X-ONE", "X-Two"] {
            assert!(nominated.contain(FieldId::Other, name.as_bytes()), "{name}");
        }
        assert!(!nominated.contain(FieldId::Other, b"X-Three"));
    }

    #[test]
    fn neither_the_usual_options_nor_what_the_exchange_depends_on_name_a_field() {
        for connection in ["", "Connection: Keep-Alive\r\n", "Connection: close, keep-alive\r\n"] {
            assert!(nominated_by(connection).0.is_none(), "{connection}");
        }
        let nominated = nominated_by("Connection: Content-Length, Expect\r\n");
        assert!(!nominated.contain(FieldId::ContentLength, b"Content-Length"));
        assert!(!nominated.contain(FieldId::Expect, b"Expect"));
    }
}
