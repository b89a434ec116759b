//! The texts of all ranks.
//!
//! A pair is judged on the rank of its picture. So a text's tokens travel to every rank; a picture's tokens, which are a
//! thousand times as many bytes, never travel.

use crate::models::Captions;
use crate::train::world::World;

/// The texts of all ranks, in the order of ranks.
#[derive(Default)]
pub(super) struct AllTexts {
    ids: Vec<u32>,
    offsets: Vec<usize>,
    sent: Vec<u32>,
    received: Vec<u32>,
}

impl AllTexts {
    /// Gathers the texts of all ranks, of which each has as many.
    pub fn gather<W: World>(&mut self, world: &W, texts: Captions) {
        let AllTexts { ids, offsets, sent, received } = self;
        let (own, mut memory): (Vec<u64>, _) = ((0..texts.len()).map(|i| texts.of(i).len() as u64).collect(), vec![]);
        let lengths = world.all_gather(&own, &mut memory);
        let tokens = |lengths: &[u64]| lengths.iter().sum::<u64>() as usize;
        // Every rank sends as many tokens as the one that has most of them.
        let most = lengths.chunks(own.len()).map(tokens).max().expect("a rank has texts");
        sent.clear();
        sent.extend(texts.own_ids());
        sent.resize(most, 0);
        let all = world.all_gather(sent, received);
        ids.clear();
        offsets.clear();
        offsets.push(0);
        for (lengths, sent) in lengths.chunks(own.len()).zip(all.chunks(most)) {
            for &len in lengths {
                offsets.push(offsets[offsets.len() - 1] + len as usize);
            }
            ids.extend(&sent[..tokens(lengths)]);
        }
    }

    /// Views the texts.
    pub fn captions(&self) -> Captions<'_> {
        Captions { ids: &self.ids, offsets: &self.offsets }
    }
}
