//! Runs the codec over input that comes in pieces, as a connection does, and tells what came of it.
//! Shared by the property tests and the fuzz targets.

use tollgate_http1::{
    BodyDecoder, BodyLength, Decoded, Fields, HeadLimits, Method, RequestHead, RequestParser, ResponseHead,
    ResponseParser, request_body, response_body,
};

/// All that a user of the codec could notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    pub messages: Vec<Message>,
    /// Why the stream was refused, if it was.
    pub error: Option<String>,
    /// What nothing has consumed yet, when there was no error.
    pub unread: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Method or status, then target or reason.
    pub start: (Vec<u8>, Vec<u8>),
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub length: BodyLength,
    pub body: Vec<u8>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    pub complete: bool,
}

/// Reads requests until the input ends or is refused.
pub fn requests(pieces: &[&[u8]], limits: &HeadLimits) -> Transcript {
    let mut parser = RequestParser::new();
    let mut head = RequestHead::new();
    drive(pieces, |input| {
        let Some(consumed) = parser.parse(input, limits, &mut head).map_err(|error| error.to_string())?
        else {
            return Ok(None);
        };
        let start = (head.method_name().to_vec(), head.target().to_vec());
        let length = request_body(&head).map_err(|error| error.to_string())?;
        Ok(Some((consumed, message(start, &head.fields, length))))
    })
}

/// Reads responses to requests of `method` until the input ends or is refused.
pub fn responses(method: Method, pieces: &[&[u8]], limits: &HeadLimits) -> Transcript {
    let mut parser = ResponseParser::new();
    let mut head = ResponseHead::new();
    drive(pieces, |input| {
        let Some(consumed) = parser.parse(input, limits, &mut head).map_err(|error| error.to_string())?
        else {
            return Ok(None);
        };
        let start = (head.status.to_string().into_bytes(), head.reason().to_vec());
        let length = response_body(method, &head).map_err(|error| error.to_string())?;
        Ok(Some((consumed, message(start, &head.fields, length))))
    })
}

fn message(start: (Vec<u8>, Vec<u8>), fields: &Fields, length: BodyLength) -> Message {
    Message { start, fields: owned(fields), length, body: Vec::new(), trailers: Vec::new(), complete: false }
}

pub fn owned(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

type ParsedHead = Result<Option<(usize, Message)>, String>;

fn drive(pieces: &[&[u8]], mut parse_head: impl FnMut(&[u8]) -> ParsedHead) -> Transcript {
    let mut transcript = Transcript::default();
    let mut body: Option<BodyDecoder> = None;
    for piece in pieces {
        transcript.unread.extend_from_slice(piece);
        if let Err(error) = read_available(&mut transcript, &mut body, &mut parse_head) {
            transcript.error = Some(error);
            transcript.unread.clear();
            return transcript;
        }
    }
    if let (Some(mut decoder), Some(message)) = (body, transcript.messages.last_mut()) {
        match decoder.end_of_input() {
            Ok(()) => message.complete = true,
            Err(error) => transcript.error = Some(error.to_string()),
        }
    }
    transcript
}

fn read_available(
    transcript: &mut Transcript,
    body: &mut Option<BodyDecoder>,
    parse_head: &mut impl FnMut(&[u8]) -> ParsedHead,
) -> Result<(), String> {
    loop {
        if body.is_none() {
            let Some((consumed, message)) = parse_head(&transcript.unread)? else { return Ok(()) };
            assert!(consumed > 0, "a head takes bytes");
            transcript.unread.drain(..consumed);
            *body = Some(BodyDecoder::new(message.length));
            transcript.messages.push(message);
        }
        let (Some(decoder), Some(message)) = (body.as_mut(), transcript.messages.last_mut()) else {
            return Ok(());
        };
        match decoder.decode(&transcript.unread).map_err(|error| error.to_string())? {
            Decoded::Data { skip, len } => {
                assert!(len > 0, "data is never empty");
                message.body.extend_from_slice(&transcript.unread[skip..skip + len]);
                transcript.unread.drain(..skip + len);
            }
            Decoded::NeedMore { consumed } => {
                assert_eq!(consumed, transcript.unread.len(), "all input is taken before more is asked for");
                transcript.unread.clear();
                return Ok(());
            }
            Decoded::End { consumed } => {
                transcript.unread.drain(..consumed);
                message.trailers = decoder.trailers().map(owned).unwrap_or_default();
                message.complete = true;
                *body = None;
            }
        }
    }
}

/// Cuts `input` into pieces of the given lengths; what is left over is the last one.
pub fn cut<'a>(mut input: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths {
        let (piece, rest) = input.split_at(length.min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces.push(input);
    pieces
}
