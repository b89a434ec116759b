//! Pictures in boxes (ISO/IEC 14496-12), which phones and websites have and which are not decoded: HEIC and AVIF.
//!
//! Their pictures are single frames of the videos H.265 and AV1. The first box of a file, `ftyp`, has the brands that the
//! file belongs to; its name may say anything.

/// Returns the name of the format, if the file is one of these.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    let (&[a, b, c, d, b'f', b't', b'y', b'p'], rest) = bytes.split_first_chunk()? else { return None };
    let end = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(8).min(rest.len());
    let brands = rest[..end].as_chunks::<4>().0;
    let is_any = |names: &[&[u8; 4]]| brands.iter().any(|brand| names.contains(&brand));
    // A file of either kind may also call itself mif1, a picture of whatever coding.
    if is_any(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if is_any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"]) {
        Some("HEIC")
    } else {
        is_any(&[b"mif1", b"msf1"]).then_some("HEIF")
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn the_brands_decide() {
        let file = |brands: &[&[u8; 4]]| {
            let length = (8 + 4 * brands.len() as u32 + 4).to_be_bytes();
            let (major, others) =
                (brands[0], brands[1..].iter().flat_map(|brand| brand.iter().copied()).collect::<Vec<u8>>());
            [&length[..], b"ftyp", major, &[0; 4], &others, b"\0\0\0\x08mdatavif"].concat()
        };
        assert_eq!(name(&file(&[b"heic", b"mif1"])), Some("HEIC"));
        assert_eq!(name(&file(&[b"mif1", b"heix"])), Some("HEIC"));
        assert_eq!(name(&file(&[b"mif1", b"avif", b"miaf"])), Some("AVIF"));
        assert_eq!(name(&file(&[b"avis"])), Some("AVIF"));
        assert_eq!(name(&file(&[b"mif1"])), Some("HEIF"));
        assert_eq!(name(&file(&[b"isom", b"mp42"])), None, "a video, and what follows the box is none of its brands");
        for short in [&b""[..], b"\0\0\0\x18ftyp", b"\xff\xff\xff\xffftypmp4", b"\0\0\0\0ftypheic"] {
            assert_eq!(name(short), None);
        }
    }
}
