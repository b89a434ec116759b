//! A tar file that is read once, from front to back.
//!
//! Its headers are read as the stream goes, so that nothing is read twice and a gzipped file needs no more memory than
//! a plain one. What is cut off is noticed only where it ends.

use crate::counted::counted;
use crate::datasets::error::DatasetError;
use crate::datasets::samples::{BLOCK, Extent, Sample, SampleError, is_gzipped, is_of_a_pair, split_name};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// A tar file of which a part has been read.
pub(super) struct TarStream {
    path: PathBuf,
    source: Source,
    /// The number of samples that were read.
    samples: u64,
    /// The first member of the next sample, whose header alone was read, since it ended the sample before.
    next: Option<Member>,
}

/// One member of a sample; what it holds comes next in the source.
struct Member {
    key: String,
    kind: String,
    len: u64,
}

/// A sample, and what the places of its members hold.
pub(super) type ReadSample = (Sample, Result<Vec<u8>, SampleError>);

impl TarStream {
    /// Opens a tar file, plain or gzipped.
    ///
    /// # Errors
    /// Returns an error if it cannot be read or is a file of another kind.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let is_gzipped = is_gzipped(path)?;
        let file = BufReader::new(File::open(path).map_err(DatasetError::io(path))?);
        let input = if is_gzipped { Input::Gzip(Box::new(MultiGzDecoder::new(file))) } else { Input::File(file) };
        Ok(Self { path: path.to_owned(), source: Source { input, zeros: 0 }, samples: 0, next: None })
    }

    /// Reads the next sample: its pictures and captions if they have at most `max` bytes together, and nothing else.
    /// The places of its members count from `start`.
    ///
    /// # Errors
    /// Returns an error if the file is damaged, or ends before its last member or without its mark.
    pub fn sample(&mut self, start: u64, max: u64) -> Result<Option<ReadSample>, DatasetError> {
        let (mut sample, mut bytes) = (Sample::default(), vec![]);
        let mut is_too_large = false;
        while let Some(member) = self.member()? {
            if !sample.members.is_empty() && member.key != sample.key {
                self.next = Some(member);
                break;
            }
            let Member { key, kind, len } = member;
            let begin = bytes.len() as u64;
            let is_wanted = is_of_a_pair(&kind);
            let fits = len <= max - begin;
            let read = if is_wanted && fits { self.source.append(len, &mut bytes) } else { self.source.pass(len) };
            let padded = read.and_then(|()| self.source.pass(padding(len)));
            padded.map_err(|error| self.breaks_off(format!("{error} within {key}.{kind}")))?;
            is_too_large |= is_wanted && !fits;
            sample.key = key;
            sample.members.push((kind, Extent { start: start + begin, len }));
        }
        if sample.members.is_empty() {
            return Ok(None);
        }
        self.samples += 1;
        Ok(Some((sample, if is_too_large { Err(SampleError::TooLarge { max }) } else { Ok(bytes) })))
    }

    /// Goes past so many samples, of which a plain file's headers alone are read. Returns whether there are so many.
    ///
    /// # Errors
    /// Returns the errors of [`sample`](Self::sample).
    pub fn pass(&mut self, samples: u64) -> Result<bool, DatasetError> {
        for _ in 0..samples {
            if self.sample(0, 0)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the header of the next member that belongs to a sample.
    fn member(&mut self) -> Result<Option<Member>, DatasetError> {
        if let Some(member) = self.next.take() {
            return Ok(Some(member));
        }
        while let Some(Header { name, is_file, len }) = self.header()? {
            match split_name(&name).filter(|_| is_file) {
                Some((key, kind)) => {
                    return Ok(Some(Member { key: key.to_owned(), kind: kind.to_ascii_lowercase(), len }));
                }
                None => {
                    let passed = self.source.pass(len + padding(len));
                    passed.map_err(|error| self.breaks_off(format!("{error} within {name}")))?;
                }
            }
        }
        Ok(None)
    }

    /// Reads a header, and whatever stands before it to say more of the same member.
    fn header(&mut self) -> Result<Option<Header>, DatasetError> {
        let mut archive = tar::Archive::new(&mut self.source);
        // Tar files that have been joined end to end have zeros between them.
        archive.set_ignore_zeros(true);
        let read = archive.entries().and_then(|mut entries| {
            let Some(entry) = entries.next().transpose()? else { return Ok(None) };
            let (kind, name) = (entry.header().entry_type(), String::from_utf8_lossy(&entry.path_bytes()).into_owned());
            // A sparse member takes less room than it claims.
            let len = if kind.is_gnu_sparse() { entry.header().entry_size()? } else { entry.size() };
            Ok(Some(Header { name, is_file: kind.is_file(), len }))
        });
        match read {
            Ok(None) if self.source.zeros < BLOCK => Err(self.breaks_off("it has no end mark".into())),
            read => read.map_err(|error| self.breaks_off(error.to_string())),
        }
    }

    fn breaks_off(&self, reason: String) -> DatasetError {
        let reason = format!("{reason}, after {}", counted(self.samples, "sample"));
        DatasetError::BreaksOff { path: self.path.clone(), reason }
    }
}

/// Returns the number of bytes between the end of a member of so many bytes and the next header. The tar crate refuses
/// lengths that end beyond the largest number.
fn padding(len: u64) -> u64 {
    len.next_multiple_of(BLOCK) - len
}

/// What is needed of a member's header.
struct Header {
    name: String,
    is_file: bool,
    /// The number of bytes that follow.
    len: u64,
}

/// The bytes of a tar file.
struct Source {
    input: Input,
    /// The number of zeros since the last byte that was none.
    zeros: u64,
}

enum Input {
    File(BufReader<File>),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Source {
    /// Reads so many bytes behind those that are there.
    fn append(&mut self, len: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let read = self.take(len).read_to_end(bytes)?;
        if read as u64 == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Goes past so many bytes, which a plain file need not read. Going past its end is noticed with the next header.
    fn pass(&mut self, len: u64) -> io::Result<()> {
        match &mut self.input {
            Input::File(file) => {
                self.zeros = 0;
                file.seek_relative(i64::try_from(len).map_err(io::Error::other)?)
            }
            Input::Gzip(_) => {
                let passed = io::copy(&mut self.take(len), &mut io::sink())?;
                if passed == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = match &mut self.input {
            Input::File(file) => file.read(buffer),
            Input::Gzip(file) => file.read(buffer),
        }?;
        match buffer[..len].iter().rposition(|&byte| byte != 0) {
            Some(last) => self.zeros = (len - 1 - last) as u64,
            None => self.zeros += len as u64,
        }
        Ok(len)
    }
}
