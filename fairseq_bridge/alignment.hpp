// Alignments from attention, as --print-alignment prints them
// (fairseq/utils.py:extract_hard_alignment, extract_soft_alignment).
#pragma once

#include <elbeam/generator.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// A hypothesis and its sentence; columns of the attention are the source's tokens without pads.
struct AlignedPair {
  const std::vector<std::int64_t>& source;
  const Hypothesis& hypothesis;
  SpecialTokens special;
};

// For each target token that is no eos or pad the source token with the most attention, eos and
// pads apart: its number among those. nullopt for other target tokens, and where the source has
// none.
std::vector<std::optional<std::int64_t>> aligned_source_words(const AlignedPair& pair);

// "0-0 2-1 ...": source and target word, each counted without eos and pads.
std::string hard_alignment_text(const AlignedPair& pair);

// For each target token, eos included, the attention to every source token: "0.100000,0.900000".
std::string soft_alignment_text(const AlignedPair& pair);

}  // namespace elbeam::fairseq
