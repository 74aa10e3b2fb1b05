//! A header or trailer section: one buffer and an index into it.

use super::field_id::FieldId;

/// The fields of a section, in the order and letter case in which they came.
///
/// Meant to be reused: [`Fields::clear`] keeps the memory. Nothing is checked on the way in; parsers
/// store only what RFC 9110 5 allows, and whoever appends vouches for the same (see
/// [`is_token`](crate::is_token) and [`is_field_value`](crate::is_field_value)).
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Invariant: exactly the lines `name ": " value CRLF`, one after another, so that a section is
    /// parsed and written in a single copy, and `index` needs only one offset for each line.
    lines: Vec<u8>,
    index: Vec<Line>,
    /// [`FieldId::bit`] of every id in `index`.
    present: u64,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    start: u32,
    name_bytes: u32,
    value_bytes: u32,
    id: FieldId,
}

/// Of a line besides name and value: `": "` and CRLF.
const LINE_FRAME_BYTES: usize = 4;

/// One field, borrowed from its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub id: FieldId,
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn clear(&mut self) {
        self.lines.clear();
        self.index.clear();
        self.present = 0;
    }

    /// Adds a field after the others.
    ///
    /// # Panics
    /// When the section would pass 4 GiB.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        self.push_index(self.lines.len(), FieldId::of(name), name.len(), value.len());
        push_line(&mut self.lines, name, value);
    }

    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.index.iter().map(|line| line.field(&self.lines))
    }

    pub fn contains(&self, id: FieldId) -> bool {
        self.present & id.bit() != 0
    }

    /// The value of the first field of that name.
    pub fn first(&self, id: FieldId) -> Option<&[u8]> {
        self.all(id).next()
    }

    /// The values of all fields of that name, in order. For [`FieldId::Other`], of all unknown names.
    pub fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        // Most questions are about absent fields: those are answered without a walk.
        let candidates = if self.contains(id) { self.index.as_slice() } else { &[] };
        candidates.iter().filter(move |line| line.id == id).map(|line| line.field(&self.lines).value)
    }

    /// The value of the first field with this name, known or not, in any letter case.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        match FieldId::of(name) {
            FieldId::Other if self.contains(FieldId::Other) => {
                self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
            }
            // A known id says the name; of the unknown ones there is none.
            id => self.first(id),
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Appends the lines of the fields that `keep` chooses to `out`, neighbours in one copy.
    pub(crate) fn write_kept(&self, mut keep: impl FnMut(Field<'_>) -> bool, out: &mut Vec<u8>) {
        let mut run_start = 0;
        let mut line_start = 0;
        for line in &self.index {
            let line_end = line.end();
            if !keep(line.field(&self.lines)) {
                out.extend_from_slice(&self.lines[run_start..line_start]);
                run_start = line_end;
            }
            line_start = line_end;
        }
        out.extend_from_slice(&self.lines[run_start..]);
    }

    /// Replaces the content by lines that are as this type keeps them, which is how nearly every sender writes them:
    /// they are indexed one by one, and taken in one copy.
    pub(crate) fn load(&mut self) -> Loading<'_> {
        self.clear();
        Loading { fields: self, next_start: 0, is_whole: false }
    }

    /// Replaces the content by `headers`.
    pub(crate) fn load_normalised(&mut self, headers: &[httparse::Header<'_>]) {
        self.clear();
        for header in headers {
            self.append(header.name.as_bytes(), header.value);
        }
    }

    fn push_index(&mut self, start: usize, id: FieldId, name_bytes: usize, value_bytes: usize) {
        self.present |= id.bit();
        let (name_bytes, value_bytes) = (offset(name_bytes), offset(value_bytes));
        self.index.push(Line { start: offset(start), name_bytes, value_bytes, id });
    }
}

/// Field lines on their way into a section, which is empty should they not come to their end.
pub(crate) struct Loading<'f> {
    fields: &'f mut Fields,
    next_start: usize,
    is_whole: bool,
}

impl Loading<'_> {
    /// A field whose line follows those before.
    pub(crate) fn line(&mut self, id: FieldId, name_bytes: usize, value_bytes: usize) {
        self.fields.push_index(self.next_start, id, name_bytes, value_bytes);
        self.next_start += name_bytes + value_bytes + LINE_FRAME_BYTES;
    }

    /// Fields so far.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Takes the lines over, all of which have been told.
    pub(crate) fn finish(mut self, lines: &[u8]) {
        debug_assert_eq!(lines.len(), self.next_start);
        self.fields.lines.extend_from_slice(lines);
        self.is_whole = true;
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.fields.clear();
        }
    }
}

impl Line {
    fn field(self, lines: &[u8]) -> Field<'_> {
        let name_end = self.start as usize + self.name_bytes as usize;
        let value_start = name_end + 2;
        Field {
            id: self.id,
            name: &lines[self.start as usize..name_end],
            value: &lines[value_start..value_start + self.value_bytes as usize],
        }
    }

    /// Where the next line starts.
    fn end(self) -> usize {
        self.start as usize + self.name_bytes as usize + self.value_bytes as usize + LINE_FRAME_BYTES
    }
}

/// Two sections are equal when their fields are, names compared as bytes.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.lines == other.lines
    }
}

impl Eq for Fields {}

/// Appends one field line to `out`. Inlined, so that a name that is a constant is copied without a call.
#[inline]
pub(crate) fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + LINE_FRAME_BYTES);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Heads are bounded far below 4 GiB by [`HeadLimits`](crate::HeadLimits).
fn offset(bytes: usize) -> u32 {
    let Ok(offset) = u32::try_from(bytes) else { panic!("a header section has passed 4 GiB") };
    offset
}
