// The metrics there are, each named after the implementation whose numbers it gives. Every make_
// function throws Error(kUsage) for options out of range and Error(kUnsupported) for those that
// elbeam has not got.
#pragma once

#include <elbeam/eval/metric.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace elbeam::eval {

// Cuts a line into the pieces of a sentencepiece model, with single blanks between them. Called
// from several threads at once.
using Segmentation = std::function<std::string(std::string_view)>;

// sacrebleu 2.6.0, metrics/bleu.py (Papineni et al. 2002; Post 2018). Score.further: the precisions
// "precision1" ..., "bp", "hyp_len", "ref_len". One segment's score is sentence BLEU, for which
// effective_order is wanted.
struct BleuOptions {
  // none, 13a, intl, char, zh; flores101, flores200, spm and spBLEU-1K with a segmentation
  std::string tokenize = "13a";
  Segmentation segmentation;
  bool lowercase = false;
  std::string smooth_method = "exp";   // none, floor, add-k, exp
  std::optional<double> smooth_value;  // of floor (default 0.1) and add-k (1)
  int max_order = 4;                   // 1 to 16
  bool effective_order = false;        // orders without any n-gram do not count
  bool characters = false;  // fairseq's --sacrebleu-char-level: words are characters, blanks too
};
std::unique_ptr<const Metric> make_bleu(const BleuOptions& options);

// sacrebleu 2.6.0, metrics/chrf.py: chrF2 (Popovic 2015); chrF2++ with word_order 2 (2017).
struct ChrfOptions {
  int char_order = 6;  // 1 to 64
  int word_order = 0;  // 0 to 16
  int beta = 2;        // 0 to 1,000: how much recall weighs over precision
  bool lowercase = false;
  bool whitespace = false;     // white space counts as characters
  bool eps_smoothing = false;  // chrF++.py, NLTK and Moses
};
std::unique_ptr<const Metric> make_chrf(const ChrfOptions& options);

// sacrebleu 2.6.0, metrics/ter.py (Snover et al. 2006), after Tercom. Score.further: "edits",
// "ref_len". Less is better.
struct TerOptions {
  bool normalized = false;
  bool no_punct = false;
  bool asian_support = false;
  bool case_sensitive = false;
};
std::unique_ptr<const Metric> make_ter(const TerOptions& options);

// Word (character) error rate: edit distance over reference length in percent, as fairseq's
// scoring/wer.py. Of several references the one with the least distance counts, the first of equal
// ones. Less is better.
struct WerOptions {
  std::string tokenize = "none";  // as BleuOptions
  bool lowercase = false;
  bool remove_punctuation = false;  // words of nothing but punctuation
  bool characters = false;          // character error rate; a blank is a character
};
std::unique_ptr<const Metric> make_wer(const WerOptions& options);

// Google's rouge-score 0.1.2 (Lin 2004): precision, recall, F measure, each the mean over segments;
// the score is F. Of several references the one with the highest F counts. Lsum: union of longest
// common subsequences, sentences are lines of the text.
struct RougeOptions {
  std::string type = "1";  // 1 to 9, L, Lsum
  bool stemmer = false;    // nltk's PorterStemmer
};
std::unique_ptr<const Metric> make_rouge(const RougeOptions& options);

// The original ROUGE-1.5.5.pl with -a -c 95 -r 1000 and its defaults (-f A, -p 0.5), sentences
// being lines of the text (SPL format; also what files2rouge and pyrouge make of theirs).
// Precision, recall and F as the script prints them: means over its 1,000 resamples, which it draws
// by Perl's random numbers; so do we, and get its averages and intervals (as of Perl 5.20) to all
// five digits. The score is F. Score.further: the bounds of the intervals.
struct Rouge155Options {
  std::string type = "1";  // 1 to 9 (-n), L, W (-w), S and SU (-2, -u)
  bool stemmer = false;    // -m
  // Where -m finds adj.exc, adv.exc, noun.exc and verb.exc, WordNet's irregular forms.
  std::string exceptions_folder = "/usr/share/wordnet";
  double weight = 1.2;    // of W
  int skip_distance = 4;  // of S and SU: words between the two; -1: any number
  int resamples = 1000;   // -r
};
std::unique_ptr<const Metric> make_rouge155(const Rouge155Options& options);

// METEOR (Lavie and Agarwal 2007) as nltk 3.10.4's meteor_score over words split at white space:
// exact matches, Porter stems, synonyms from WordNet 3.0 if its files are there. The mean over
// segments, 0 to 1; of several references the best counts. Its signature tells about WordNet.
struct MeteorOptions {
  // Folder of WordNet's index.* and data.* files; "none": no synonyms; nothing: Debian's
  // (/usr/share/wordnet of the package wordnet-base) if it is installed.
  std::optional<std::string> wordnet_folder;
};
std::unique_ptr<const Metric> make_meteor(const MeteorOptions& options);

// SQuAD's evaluation script, version 1.1 (Rajpurkar et al. 2016): answers after lower case and
// without punctuation and articles. In percent; of several references the best counts.
std::unique_ptr<const Metric> make_exact_match();
std::unique_ptr<const Metric> make_token_f1();  // bag of words; precision and recall of the best

// What texts look like, apart from how good they are. Words are what white space separates, in
// lower case; all but kLengthRatio are means over segments.
enum class TextStatistic {
  kLengthRatio,  // words of all hypotheses over words of all references (their mean length)
  kDistinct,     // different n-grams of a hypothesis over all of them (Li et al. 2016)
  kRepetition,   // n-grams that stood before in the hypothesis, over all of them
  kNovelty,      // n-grams that the source has not, over all of them (See et al. 2017)
  kCoverage,     // words of a summary in fragments taken from the source (Grusky et al. 2018)
  kDensity,      // the fragments' mean length, each weighted by it (the same)
};
// `order` is n, 1 to 9; the last two and kLengthRatio have none.
std::unique_ptr<const Metric> make_text_statistic(TextStatistic which, int order);

// The options of all of them, and a metric by the name that elbeam-score --metrics gives it: bleu,
// chrf, chrf++, ter, wer, cer, rouge1 ... rouge9, rougeL, rougeLsum, rouge155-1 ... rouge155-9,
// rouge155-L, rouge155-W, rouge155-S, rouge155-SU, meteor, exact-match, token-f1, length-ratio,
// coverage, density, distinct1 ... distinct9, repetition1 ..., novelty1 ....
struct MetricOptions {
  RougeOptions rouge;        // the type comes from the name
  Rouge155Options rouge155;  // the same
  BleuOptions bleu;
  ChrfOptions chrf;
  TerOptions ter;
  WerOptions wer;
  MeteorOptions meteor;
};
std::unique_ptr<const Metric> make_metric(const std::string& name, const MetricOptions& options);

}  // namespace elbeam::eval
