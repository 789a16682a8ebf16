// Reads the files of vocabulary selection.
#pragma once

#include <elbeam/options.hpp>

#include "model/vocabulary_selection.hpp"
#include "text/dictionary.hpp"

#include <memory>
#include <optional>

namespace elbeam::runtime {

// nullptr where the options name no file. Words that a dictionary does not have are passed over, as
// Marian's NULL is. Throws Error: kUsage for a dictionary that is missing, kIo, kFormat with file
// and line for what is no list or lexicon, or has no word of the dictionary.
std::shared_ptr<const model::VocabularySelection> read_selection(
    const VocabularyOptions& options, const std::optional<text::Dictionary>& source,
    const std::optional<text::Dictionary>& target);

}  // namespace elbeam::runtime
