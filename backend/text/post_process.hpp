// fairseq/data/data_utils.py: post_process(), what --post-process / --remove-bpe does to a line.
#pragma once

#include <string>
#include <string_view>

namespace elbeam::text {

// Throws Error(kUsage) unless `symbol` is one that post_process() knows; for checking a flag before
// any work is done.
void validate_post_process(std::string_view symbol);

// `symbol`: "" (no option given) and "none" return the sentence; "sentencepiece", "wordpiece",
// "letter", "silence", "_EOW", "subword_nmt", "@@ ", "@@" as fairseq; otherwise Error(kUsage).
std::string post_process(std::string_view sentence, std::string_view symbol);

}  // namespace elbeam::text
