#include "fairseq_bridge/result_lines.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/alignment.hpp"
#include "text/post_process.hpp"
#include "text/python_format.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace elbeam::fairseq {

// What is printed of one sentence.
struct ResultTexts {
  std::string source;
  std::string target;
  std::string notes;                     // lines before the hypotheses
  std::vector<std::string> words;        // of each hypothesis, after --post-process
  std::vector<std::string> detokenized;  // the same after --bpe
  std::vector<std::string> alignments;   // with --print-alignment
  bool steps = false;                    // --print-step
};

namespace {

std::string position_scores_line(const Hypothesis& hypothesis) {
  std::string line;
  for (const float score : hypothesis.positional_scores) {
    if (!line.empty()) line += ' ';
    line += text::python_fixed(static_cast<double>(to_base_2(score)), 4);
  }
  return line;
}

std::vector<std::int64_t> without(std::vector<std::int64_t> tokens, std::int64_t unwanted) {
  tokens.erase(std::remove(tokens.begin(), tokens.end(), unwanted), tokens.end());
  return tokens;
}

std::string fairseq_lines(std::int64_t id, const ResultTexts& texts, bool has_target,
                          const std::vector<Hypothesis>& hypotheses) {
  std::string lines = concat("S-", id, "\t", texts.source, "\n");
  if (has_target) lines += concat("T-", id, "\t", texts.target, "\n");
  lines += texts.notes;
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    const std::string score =
        text::python_repr(static_cast<double>(to_base_2(hypotheses[i].score)));
    lines += concat("H-", id, "\t", score, "\t", texts.words[i], "\n");
    lines += concat("D-", id, "\t", score, "\t", texts.detokenized[i], "\n");
    lines += concat("P-", id, "\t", position_scores_line(hypotheses[i]), "\n");
    if (!texts.alignments.empty()) lines += concat("A-", id, "\t", texts.alignments[i], "\n");
    if (texts.steps) lines += concat("I-", id, "\t", hypotheses[i].tokens.size(), "\n");
  }
  return lines;
}

std::string json_line(std::int64_t id, const ResultTexts& texts, bool has_target,
                      const std::vector<Hypothesis>& hypotheses) {
  nlohmann::json json{{"id", id}, {"source", texts.source}};
  if (has_target) json["target"] = texts.target;
  json["hypotheses"] = nlohmann::json::array();
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    std::vector<double> positional;
    for (const float score : hypotheses[i].positional_scores) {
      positional.push_back(static_cast<double>(to_base_2(score)));
    }
    json["hypotheses"].push_back({{"text", texts.words[i]},
                                  {"detok", texts.detokenized[i]},
                                  {"score", static_cast<double>(to_base_2(hypotheses[i].score))},
                                  {"tokens", hypotheses[i].tokens},
                                  {"positional_scores", positional}});
    if (!texts.alignments.empty()) json["hypotheses"].back()["alignment"] = texts.alignments[i];
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

float to_base_2(float score) noexcept { return score / 0.693147180559945309417F; }

ResultLines::ResultLines(const OutputOptions& options, const ResultSymbols& symbols)
    : options_(options),
      source_dictionary_(symbols.source),
      target_dictionary_(symbols.target),
      bpe_(options.bpe ? text::make_bpe(*options.bpe) : nullptr),
      tokenizer_(options.tokenizer ? text::make_tokenizer(*options.tokenizer) : nullptr),
      scorer_(target_dictionary_.special()),
      text_scorer_(options.scoring.name == "bleu" ? nullptr
                                                  : std::make_unique<TextScorer>(options.scoring)),
      hidden_(symbols.hidden),
      has_targets_(symbols.has_targets) {
  if (options.replace_unk) {
    replaced_words_ =
        options.replace_unk->empty() ? WordMap() : load_word_map(*options.replace_unk);
  }
  if ((options.post_process || options.replace_unk) && has_targets_) word_ids_ = target_dictionary_;
}

std::string ResultLines::detokenize(const std::string& text) const {
  const std::string words = bpe_ ? bpe_->decode(text) : text;
  return tokenizer_ ? tokenizer_->decode(words) : words;
}

std::string ResultLines::post_processed(const std::string& words) const {
  return options_.post_process ? text::post_process(words, *options_.post_process) : words;
}

std::string ResultLines::target_words(const std::vector<std::int64_t>& tokens,
                                      bool escape_unk) const {
  return post_processed(target_dictionary_.string(tokens, escape_unk, hidden_));
}

std::string ResultLines::hypothesis_words(const Sentence& sentence,
                                          const Hypothesis& hypothesis) const {
  const SpecialTokens special = target_dictionary_.special();
  const bool has_unk = std::find(hypothesis.tokens.begin(), hypothesis.tokens.end(), special.unk) !=
                       hypothesis.tokens.end();
  if (!replaced_words_ || !has_unk) return target_words(hypothesis.tokens, /*escape_unk=*/false);
  ELBEAM_CHECK(!options_.replace_unk_fails, ErrorCode::kFairseqFails,
               "fairseq fails here: sentence ", sentence.id, ": ",
               quirk_row(Quirk::kReplaceUnkFails).fairseq_does);
  return with_words_replaced(sentence, hypothesis);
}

// Each <unk> gets its word before sub-words are joined: afterwards words are no longer tokens.
std::string ResultLines::with_words_replaced(const Sentence& sentence,
                                             const Hypothesis& hypothesis) const {
  const SpecialTokens special = target_dictionary_.special();
  const auto aligned = aligned_source_words({sentence.source, hypothesis, special});
  std::string words;
  for (std::size_t i = 0; i < hypothesis.tokens.size(); ++i) {
    const std::int64_t token = hypothesis.tokens[i];
    const bool hidden = std::find(hidden_.begin(), hidden_.end(), token) != hidden_.end();
    if (hidden || token == special.eos || token == special.bos) continue;
    if (!words.empty()) words += ' ';
    words += token == special.unk && aligned[i]
                 ? replacement(sentence.source_text, *aligned[i], *replaced_words_)
                 : target_dictionary_.symbol(token);
  }
  return post_processed(words);
}

std::string ResultLines::alignment_text(const Sentence& sentence,
                                        const Hypothesis& hypothesis) const {
  const AlignedPair pair{sentence.source, hypothesis, target_dictionary_.special()};
  return options_.alignment == PrintAlignment::kHard ? hard_alignment_text(pair)
                                                     : soft_alignment_text(pair);
}

void ResultLines::count(const Sentence& sentence, const std::vector<std::int64_t>& tokens,
                        const std::string& target_text, const std::string& hypothesis_text) {
  if (text_scorer_) return text_scorer_->add(target_text, hypothesis_text);
  if (!options_.post_process && !replaced_words_) {
    scorer_.add(without(sentence.target, target_dictionary_.special().pad), tokens);
    return;
  }
  std::vector<std::int64_t> reference = word_ids_.encode_line_adding(target_text);
  scorer_.add(std::move(reference), word_ids_.encode_line_adding(hypothesis_text));
}

std::string ResultLines::encode(const std::string& line) const {
  const std::string words = tokenizer_ ? tokenizer_->encode(line) : line;
  return bpe_ ? bpe_->encode(words) : words;
}

std::string ResultLines::add_interactive(const Sentence& sentence,
                                         const std::vector<Hypothesis>& hypotheses,
                                         const InteractiveLines& extra) {
  const std::int64_t pad = target_dictionary_.special().pad;
  ResultTexts texts;
  texts.source = post_processed(source_dictionary_.string(without(sentence.source, pad)));
  texts.notes =
      concat("W-", sentence.id, "\t", text::python_fixed(extra.seconds, 3), "\tseconds\n");
  for (const auto& constraint : extra.constraints) {
    texts.notes += concat("C-", sentence.id, "\t",
                          post_processed(target_dictionary_.string(constraint)), "\n");
  }
  add_hypotheses(sentence, hypotheses, texts);
  return options_.json ? json_line(sentence.id, texts, /*has_target=*/false, hypotheses)
                       : fairseq_lines(sentence.id, texts, /*has_target=*/false, hypotheses);
}

void ResultLines::add_hypotheses(const Sentence& sentence,
                                 const std::vector<Hypothesis>& hypotheses,
                                 ResultTexts& texts) const {
  for (const Hypothesis& hypothesis : hypotheses) {
    texts.words.push_back(hypothesis_words(sentence, hypothesis));
    texts.detokenized.push_back(detokenize(texts.words.back()));
    if (options_.alignment != PrintAlignment::kNone) {
      texts.alignments.push_back(alignment_text(sentence, hypothesis));
    }
  }
}

std::string ResultLines::add(const Sentence& sentence, const std::vector<Hypothesis>& hypotheses) {
  const std::int64_t pad = target_dictionary_.special().pad;
  ResultTexts texts;
  texts.steps = options_.steps;
  texts.source = detokenize(
      replaced_words_ ? sentence.source_text
                      : post_processed(source_dictionary_.string(without(sentence.source, pad))));
  if (has_targets_) {
    texts.target = detokenize(
        replaced_words_ ? sentence.target_text
                        : target_words(without(sentence.target, pad), /*escape_unk=*/true));
  }
  add_hypotheses(sentence, hypotheses, texts);
  if (has_targets_ && !hypotheses.empty()) {
    count(sentence, hypotheses.front().tokens, texts.target, texts.detokenized.front());
  }
  if (options_.quiet) return {};
  return options_.json ? json_line(sentence.id, texts, has_targets_, hypotheses)
                       : fairseq_lines(sentence.id, texts, has_targets_, hypotheses);
}

}  // namespace elbeam::fairseq
