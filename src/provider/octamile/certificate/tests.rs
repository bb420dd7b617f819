//! The files are whole, of the size that is asked for, and read as their formats' documents say.

use super::*;

const SIZES: [usize; 7] = [0, 1_000, 5_000, 65_536, 200_000, 2_000_000, 2_000_001];

fn lines() -> Vec<String> {
    vec!["Product vhcl-tprt-2040".to_owned(), "Brackets (and \\ and é)".to_owned()]
}

#[test]
fn a_file_has_about_the_size_that_is_asked_for_and_begins_as_its_kind_does() {
    for kind in Kind::ALL {
        let smallest = certificate(kind, 0, &lines()).len();
        assert!(smallest < 3_000, "{kind:?} {smallest}");
        for size in SIZES {
            let file = certificate(kind, size, &lines());
            let wanted = size.max(smallest);
            assert!((wanted..wanted + 100).contains(&file.len()), "{kind:?} {size} {}", file.len());
            assert_eq!(Kind::of(&file), Some(kind));
        }
        assert_eq!(Kind::parse(kind.as_str()), Ok(kind));
    }
    assert_eq!(Kind::of(b"GIF89a"), None);
    assert!(Kind::parse("jpeg").unwrap_err().contains("jpg, png or pdf"));
}

/// Source: PNG (Third Edition), 5.3 Chunk layout.
#[test]
fn a_png_is_a_row_of_chunks_with_right_checksums_from_ihdr_to_iend() {
    for size in SIZES {
        let file = certificate(Kind::Png, size, &[]);
        let (mut at, mut names) = (8, Vec::new());
        while at < file.len() {
            let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            let body = &file[at + 4..at + 8 + length];
            let crc = u32::from_be_bytes(file[at + 8 + length..at + 12 + length].try_into().unwrap());
            assert_eq!(crc32(body), crc);
            names.push(String::from_utf8(body[..4].to_vec()).unwrap());
            at += 12 + length;
        }
        assert_eq!((names[0].as_str(), names[names.len() - 1].as_str(), at), ("IHDR", "IEND", file.len()));
        assert_eq!(names.contains(&"fiLl".to_owned()), size > 484, "{names:?}");
    }
    // The check value of the CRC's definition, and that of every IEND.
    assert_eq!((crc32(b"123456789"), crc32(b"IEND")), (0xcbf4_3926, 0xae42_6082));
}

/// Source: ITU-T T.81, annex B: marker segments up to the scan.
#[test]
fn a_jpg_is_a_row_of_segments_up_to_its_scan() {
    for size in SIZES {
        let file = certificate(Kind::Jpg, size, &[]);
        let (mut at, mut markers) = (2, Vec::new());
        loop {
            assert_eq!(file[at], 0xff, "a marker at {at}");
            markers.push(file[at + 1]);
            at += 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
            if markers.last() == Some(&0xda) {
                break;
            }
        }
        assert_eq!(markers[0], 0xe0, "the JFIF segment comes first");
        assert!(markers.contains(&0xc0) && file.ends_with(&[0xff, 0xd9]));
        assert_eq!(markers.contains(&0xfe), size > JPG.len());
    }
}

/// Source: ISO 32000-1, 7.5.4: the table gives each object's offset, in lines of 20 bytes.
#[test]
fn a_pdfs_table_points_at_its_objects_and_its_text_is_there() {
    for size in SIZES {
        let file = certificate(Kind::Pdf, size, &lines());
        let text = String::from_utf8_lossy(&file);
        let find = |what: &[u8]| file.windows(what.len()).rposition(|window| window == what).unwrap();
        let begins = text.rsplit("startxref\n").next().unwrap().lines().next().unwrap();
        let table = find(b"xref\n0 ");
        assert_eq!(begins.parse::<usize>().unwrap(), table);
        let rows: Vec<&[u8]> = file[table..].splitn(3, |b| *b == b'\n').nth(2).unwrap().chunks(20).collect();
        let count: usize = if size > 2_000 { 7 } else { 6 };
        for (number, row) in rows.iter().enumerate().take(count).skip(1) {
            assert!(row.ends_with(b" 00000 n \n"), "{number}");
            let offset: usize = std::str::from_utf8(&row[..10]).unwrap().parse().unwrap();
            assert!(file[offset..].starts_with(format!("{number} 0 obj\n").as_bytes()), "{number}");
        }
        assert!(text.contains("(Product vhcl-tprt-2040) Tj") && text.contains(r"(Brackets \(and \\ and ?\)) Tj"));
        let length: usize = text.split("/Length ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let stream = text.split_once("stream\n").unwrap().1;
        assert_eq!(&stream[length..length + 10], "\nendstream");
    }
}
