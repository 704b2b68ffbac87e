//! TYPE A: lines end with CRLF on the way (RFC 959 section 3.1.1.1) and with LF in a file.

/// Lines on their way to the client.
#[derive(Debug, Default)]
pub struct ToNetwork {
    after_cr: bool,
}

impl ToNetwork {
    /// Adds `bytes` to `out`; an LF that has no CR in front of it gets one.
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.split_last() {
                Some((b'\n', line)) => {
                    let has_cr = line.last().map_or(self.after_cr, |byte| *byte == b'\r');
                    out.extend_from_slice(line);
                    out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
                    self.after_cr = false;
                }
                Some((last, _)) => {
                    out.extend_from_slice(part);
                    self.after_cr = *last == b'\r';
                }
                None => {}
            }
        }
    }
}

/// Lines on their way from the client.
#[derive(Debug, Default)]
pub struct FromNetwork {
    held_cr: bool,
}

impl FromNetwork {
    /// Adds `bytes` to `out`, LF for CRLF; a CR that stands alone is kept.
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            if self.held_cr && *byte != b'\n' {
                out.push(b'\r');
            }
            self.held_cr = *byte == b'\r';
            if !self.held_cr {
                out.push(*byte);
            }
        }
    }

    /// What was held back at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut convert, mut out) = (ToNetwork::default(), Vec::new());
        pieces
            .iter()
            .for_each(|piece| convert.convert(piece, &mut out));
        out
    }

    fn from(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut convert, mut out) = (FromNetwork::default(), Vec::new());
        pieces
            .iter()
            .for_each(|piece| convert.convert(piece, &mut out));
        convert.finish(&mut out);
        out
    }

    #[test]
    fn lines_are_converted_wherever_they_are_cut() {
        assert_eq!(to(&[b"a\nb\r\n\n\rc\r"]), b"a\r\nb\r\n\r\n\rc\r");
        assert_eq!(
            to(&[b"a\r", b"\nb", b"\n", b"", b"\r", b"", b"\n"]),
            b"a\r\nb\r\n\r\n"
        );
        assert_eq!(from(&[b"a\r\nb\nc\rd\r\r\n\r"]), b"a\nb\nc\rd\r\n\r");
        assert_eq!(from(&[b"a\r", b"\n", b"b\r", b"c", b"\r"]), b"a\nb\rc\r");
    }
}
