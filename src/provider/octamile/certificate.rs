//! Certificates of insurance as files: whole JPG, PNG and PDF files that every viewer opens, of about any size.
//! The pictures are the same for everybody; only the PDF shows lines of one's own. Nobody is insured by them.

use std::fmt::Write;

/// The kinds of file that Octamile sends. Source: Octamile, "Webhook Reference", `crtfctType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Jpg,
    Png,
    Pdf,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Jpg, Kind::Png, Kind::Pdf];

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Jpg => "jpg",
            Kind::Png => "png",
            Kind::Pdf => "pdf",
        }
    }

    /// Fails with a sentence that says what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("a certificate is jpg, png or pdf; {text:?} is none of them"))
    }

    /// The kind of a file, by how it begins.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| bytes.starts_with(kind.beginning()))
    }

    pub const fn beginning(self) -> &'static [u8] {
        match self {
            Kind::Jpg => b"\xff\xd8\xff",
            Kind::Png => b"\x89PNG\r\n\x1a\n",
            Kind::Pdf => b"%PDF-",
        }
    }
}

const JPG: &[u8] = include_bytes!("certificate.jpg");
const PNG: &[u8] = include_bytes!("certificate.png");

/// What fills a file up: nothing that a viewer shows.
const FILLING: &[u8] = b"This certificate was made to test a webhook. It insures nobody. ";

/// A whole file of this kind with at least `at_least` bytes, and few more: as small as it comes if that is 0.
/// A PDF shows `lines` as text.
pub fn certificate(kind: Kind, at_least: usize, lines: &[String]) -> Vec<u8> {
    match kind {
        Kind::Jpg => jpg(at_least),
        Kind::Png => png(at_least),
        Kind::Pdf => pdf(at_least, lines),
    }
}

fn filling(bytes: usize) -> Vec<u8> {
    FILLING.iter().copied().cycle().take(bytes).collect()
}

/// Filled up by comments, behind the segment that must come first.
fn jpg(at_least: usize) -> Vec<u8> {
    const LONGEST: usize = 0xffff - 2;
    let first = 4 + usize::from(u16::from_be_bytes([JPG[4], JPG[5]]));
    let mut file = JPG[..first].to_vec();
    let mut missing = at_least.saturating_sub(JPG.len());
    while missing > 0 {
        let comment = missing.saturating_sub(4).clamp(1, LONGEST);
        file.extend([0xff, 0xfe]);
        file.extend((comment as u16 + 2).to_be_bytes());
        file.extend(filling(comment));
        missing = missing.saturating_sub(comment + 4);
    }
    file.extend(&JPG[first..]);
    file
}

/// Filled up by one private chunk that viewers leave out, before the last.
fn png(at_least: usize) -> Vec<u8> {
    const END: usize = 12;
    let missing = at_least.saturating_sub(PNG.len());
    let (front, end) = PNG.split_at(PNG.len() - END);
    let mut file = front.to_vec();
    if missing > 0 {
        let chunk = [b"fiLl", filling(missing.saturating_sub(12)).as_slice()].concat();
        file.extend((chunk.len() as u32 - 4).to_be_bytes());
        file.extend(&chunk);
        file.extend(crc32(&chunk).to_be_bytes());
    }
    file.extend(end);
    file
}

/// Source: PNG (Third Edition), 5.5 CRC algorithm.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        }
    }
    !crc
}

/// One page; filled up by a stream that nothing refers to.
fn pdf(at_least: usize, lines: &[String]) -> Vec<u8> {
    let whole = pdf_with(lines, &[]);
    match at_least.saturating_sub(whole.len()) {
        0 => whole,
        // What the stream's own object takes at least.
        missing => pdf_with(lines, &filling(missing.saturating_sub(70).max(1))),
    }
}

fn pdf_with(lines: &[String], filling: &[u8]) -> Vec<u8> {
    let mut page = "BT /F1 20 Tf 40 250 Td (Certificate of Insurance) Tj /F1 11 Tf 0 -12 Td 16 TL".to_owned();
    for line in lines.iter().map(String::as_str).chain(["", "Made to test a webhook: it insures nobody."]) {
        let _ = write!(page, " T* ({}) Tj", escaped(line));
    }
    page.push_str(" ET");
    let mut objects: Vec<Vec<u8>> = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 298] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    objects.push(stream(page.as_bytes()));
    objects.push(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec());
    if !filling.is_empty() {
        objects.push(stream(filling));
    }
    // The second line tells programs that the file is not text.
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (index, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        file.extend(format!("{} 0 obj\n", index + 1).bytes());
        file.extend(object);
        file.extend(b"\nendobj\n");
    }
    let begins = file.len();
    file.extend(table.bytes());
    let size = objects.len() + 1;
    file.extend(format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{begins}\n%%EOF\n").bytes());
    file
}

fn stream(bytes: &[u8]) -> Vec<u8> {
    let head = format!("<< /Length {} >>\nstream\n", bytes.len());
    [head.as_bytes(), bytes, b"\nendstream"].concat()
}

/// The text of a PDF string. The font has no other characters than those of Latin scripts.
fn escaped(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        match c {
            '(' | ')' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.push('?'),
        }
    }
    text
}

#[cfg(test)]
mod tests;
