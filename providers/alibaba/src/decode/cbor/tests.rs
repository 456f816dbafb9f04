//! The vectors are those of RFC 8949, appendix A; the values in JSON as this reader gives them.

use super::*;

const VECTORS: &[(&str, &str)] = &[
    ("00", r#"0"#),
    ("01", r#"1"#),
    ("0a", r#"10"#),
    ("17", r#"23"#),
    ("1818", r#"24"#),
    ("1819", r#"25"#),
    ("1864", r#"100"#),
    ("1903e8", r#"1000"#),
    ("1a000f4240", r#"1000000"#),
    ("1b000000e8d4a51000", r#"1000000000000"#),
    ("1bffffffffffffffff", r#"18446744073709551615"#),
    ("c249010000000000000000", r#""AQAAAAAAAAAA""#),
    ("3bffffffffffffffff", r#""-18446744073709551616""#),
    ("c349010000000000000000", r#""AQAAAAAAAAAA""#),
    ("20", r#"-1"#),
    ("29", r#"-10"#),
    ("3863", r#"-100"#),
    ("3903e7", r#"-1000"#),
    ("f90000", r#"0.0"#),
    ("f98000", r#"-0.0"#),
    ("f93c00", r#"1.0"#),
    ("fb3ff199999999999a", r#"1.1"#),
    ("f93e00", r#"1.5"#),
    ("f97bff", r#"65504.0"#),
    ("fa47c35000", r#"100000.0"#),
    ("fa7f7fffff", r#"3.4028234663852886e+38"#),
    ("fb7e37e43c8800759c", r#"1e+300"#),
    ("f90001", r#"5.960464477539063e-08"#),
    ("f90400", r#"6.103515625e-05"#),
    ("f9c400", r#"-4.0"#),
    ("fbc010666666666666", r#"-4.1"#),
    ("f97c00", r#""Infinity""#),
    ("f97e00", r#""NaN""#),
    ("f9fc00", r#""-Infinity""#),
    ("fa7f800000", r#""Infinity""#),
    ("fa7fc00000", r#""NaN""#),
    ("faff800000", r#""-Infinity""#),
    ("fb7ff0000000000000", r#""Infinity""#),
    ("fb7ff8000000000000", r#""NaN""#),
    ("fbfff0000000000000", r#""-Infinity""#),
    ("f4", r#"false"#),
    ("f5", r#"true"#),
    ("f6", r#"null"#),
    ("f7", r#"null"#),
    ("c074323031332d30332d32315432303a30343a30305a", r#""2013-03-21T20:04:00Z""#),
    ("c11a514b67b0", r#"1363896240"#),
    ("c1fb41d452d9ec200000", r#"1363896240.5"#),
    ("d74401020304", r#""AQIDBA==""#),
    ("d818456449455446", r#""ZElFVEY=""#),
    ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", r#""http://www.example.com""#),
    ("40", r#""""#),
    ("4401020304", r#""AQIDBA==""#),
    ("60", r#""""#),
    ("6161", r#""a""#),
    ("6449455446", r#""IETF""#),
    ("62225c", r#""\"\\""#),
    ("62c3bc", r#""ü""#),
    ("63e6b0b4", r#""水""#),
    ("64f0908591", r#""𐅑""#),
    ("80", r#"[]"#),
    ("83010203", r#"[1,2,3]"#),
    ("8301820203820405", r#"[1,[2,3],[4,5]]"#),
    (
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        r#"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]"#,
    ),
    ("a0", r#"{}"#),
    ("a201020304", r#"{"1":2,"3":4}"#),
    ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
    ("826161a161626163", r#"["a",{"b":"c"}]"#),
    ("a56161614161626142616361436164614461656145", r#"{"a":"A","b":"B","c":"C","d":"D","e":"E"}"#),
    ("5f42010243030405ff", r#""AQIDBAU=""#),
    ("7f657374726561646d696e67ff", r#""streaming""#),
    ("9fff", r#"[]"#),
    ("9f018202039f0405ffff", r#"[1,[2,3],[4,5]]"#),
    ("9f01820203820405ff", r#"[1,[2,3],[4,5]]"#),
    ("83018202039f0405ff", r#"[1,[2,3],[4,5]]"#),
    ("83019f0203ff820405", r#"[1,[2,3],[4,5]]"#),
    (
        "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
        r#"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]"#,
    ),
    ("bf61610161629f0203ffff", r#"{"a":1,"b":[2,3]}"#),
    ("826161bf61626163ff", r#"["a",{"b":"c"}]"#),
    ("bf6346756ef563416d7421ff", r#"{"Fun":true,"Amt":-2}"#),
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_vectors_of_appendix_a() {
    for (bytes, json) in VECTORS {
        let value = read(&hex(bytes)).unwrap();
        // Rust's own reading of a float: serde_json's may be a bit off.
        match json.parse::<f64>() {
            Ok(float) if value.is_f64() => assert_eq!(value.as_f64(), Some(float), "{bytes}"),
            _ => assert_eq!(value, serde_json::from_str::<Value>(json).unwrap(), "{bytes}"),
        }
    }
}

#[test]
fn every_vector_cut_short_says_so() {
    for (bytes, _) in VECTORS {
        let bytes = hex(bytes);
        for end in 0..bytes.len() {
            let error = read(&bytes[..end]).unwrap_err();
            assert!(error.contains("CBOR ends at byte"), "{bytes:02x?} cut at {end}: {error}");
        }
    }
}

/// Appendix F of the RFC, and what JSON cannot say.
#[test]
fn what_is_not_well_formed_is_named() {
    for (bytes, what) in [
        ("1c", "0x1c begins no item"),
        ("3e", "0x3e begins no item"),
        ("df00", "0xdf begins no item"),
        ("ff", "0xff begins no item"),
        ("81ff", "0xff begins no item"),
        ("8200ff", "0xff begins no item"),
        ("bf00ff", "0xff begins no item"),
        ("5f00ff", "no string of its kind"),
        ("5f6100ff", "no string of its kind"),
        ("5f5f4100ffff", "no string of its kind"),
        ("7f4100ff", "no string of its kind"),
        ("61ff", "not UTF-8"),
        ("0000", "1 bytes follow"),
        ("a2616101616102", "`a` twice"),
        ("a1f601", "neither text nor number"),
        ("f0", "the simple value 16"),
        ("f818", "the simple value 24"),
        ("f8ff", "the simple value 255"),
        ("5bffffffffffffffff", "CBOR ends"),
        ("9bffffffffffffffff", "CBOR ends"),
        ("bbffffffffffffffff00", "CBOR ends"),
    ] {
        let error = read(&hex(bytes)).unwrap_err();
        assert!(error.contains(what), "{bytes}: {error}");
    }
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    for nest in [0x81, 0xc1, 0x9f] {
        let error = read(&vec![nest; 100_000]).unwrap_err();
        assert!(error.contains("more than 100 levels"), "{nest:#x}: {error}");
    }
    let mut many = vec![0x9a, 0, 0x20, 0, 0];
    many.resize(many.len() + 0x20_0000, 0xf6);
    assert!(read(&many).unwrap_err().contains("more than 1048576 values"));
}

#[test]
fn no_text_begins_as_a_map_does() {
    for first in 0..=u8::MAX {
        let body = [first, b'a'];
        let begins_text = first < 0x80 || (0xc2..=0xf4).contains(&first);
        assert!(!(is_map(&body) && begins_text), "{first:#x}");
    }
    for map in ["a0", "b90001", "bf", "d9d9f7a1"] {
        assert!(is_map(&hex(map)), "{map}");
    }
    for other in ["", "80", "d9d9f7", "d9d9f780", "bc"] {
        assert!(!is_map(&hex(other)), "{other}");
    }
    assert!(std::str::from_utf8(&hex("d9d9f7")).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, vector in 0..VECTORS.len(), at: usize, flip: u8) {
        drop(read(&bytes));
        let mut bytes = hex(VECTORS[vector].0);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        drop(read(&bytes));
    }
}
