#include "cli/score_options.hpp"

#include "base/check.hpp"
#include "cli/command_line.hpp"
#include "eval/tokenizers.hpp"
#include "text/bpe.hpp"

#include <algorithm>
#include <memory>
#include <sstream>

namespace elbeam::cli {
namespace {

namespace po = boost::program_options;

template <typename T>
auto into(T& target) {
  return po::value<T>(&target)->value_name("X");
}

auto files(std::vector<std::string>& target) {
  return po::value<std::vector<std::string>>(&target)->value_name("FILE")->multitoken();
}

struct Raw {
  ScoreOptions options;
  bool confidence = false;
  bool paired_bs = false;
  bool paired_ar = false;
  std::int64_t samples = 0;
  std::string metrics;
  std::string format = "auto";
  double smooth_value = 0;
  std::string tokenizer_model;
};

po::options_description general_flags(Raw& raw) {
  po::options_description out("Files and metrics", 100);
  ScoreOptions& o = raw.options;
  out.add_options()("help,h", po::bool_switch(&o.help), "this text")(
      "sys,s", files(o.systems), "texts to score, a segment a line; - is standard input")(
      "ref,r", files(o.references), "references; several files are several references")(
      "src", into(o.source), "sources, for novelty, coverage and density")(
      "metrics", po::value(&raw.metrics)->value_name("LIST"),
      "separated by commas: bleu, chrf, chrf++, ter, wer, cer, meteor, rouge1 ... rouge9, rougeL, "
      "rougeLsum "
      "(Google's rouge-score), rouge155 (ROUGE-1.5.5.pl: 1, 2 and L), rouge155-1 ... -9, -L, -W, "
      "-S, -SU; exact-match, token-f1 (SQuAD); length-ratio, distinctN, repetitionN, noveltyN, "
      "coverage, density")("json", po::bool_switch(&o.json), "one JSON object, all digits")(
      "segments", po::bool_switch(&o.segments), "with --json: also the score of each segment")(
      "threads", into(o.threads), "0: all processors")(
      "format", into(raw.format),
      "auto, plain, fairseq (fairseq-generate's output: D- or H- lines of --sys, T- lines of "
      "--ref, by id) or jsonl")("sys-field", into(o.system_text.field),
                                "jsonl: where --sys has its text [hypothesis]")(
      "ref-field", into(o.reference_text.field),
      "jsonl: where --ref has its text or list of texts [reference]")(
      "src-field", into(o.source_text.field), "jsonl: where --src has its text [source]")(
      "sentence-separator", into(o.system_text.sentence_separator),
      "what stands between sentences of a line, as <n>: for rougeLsum and rouge155");
  return out;
}

po::options_description resampling_flags(Raw& raw) {
  po::options_description out("Significance (several --sys FILE; the first is the baseline)", 100);
  out.add_options()("confidence", po::bool_switch(&raw.confidence),
                    "95 % intervals by bootstrap resampling")(
      "paired-bs", po::bool_switch(&raw.paired_bs),
      "the same, and p-values by paired bootstrap resampling")(
      "paired-ar", po::bool_switch(&raw.paired_ar), "p-values by approximate randomization")(
      "samples", into(raw.samples), "[1000; 10000 with --paired-ar]")(
      "seed", into(raw.options.resampling_options.seed), "[12345]");
  return out;
}

po::options_description metric_flags(Raw& raw) {
  po::options_description out("Metrics' own options", 100);
  eval::MetricOptions& m = raw.options.metrics;
  out.add_options()("tokenize", into(m.bleu.tokenize),
                    "bleu: none, 13a, intl, char, zh, flores101, flores200 [13a]")(
      "tokenizer-model", into(raw.tokenizer_model),
      "bleu: the sentencepiece model of --tokenize flores101, flores200 (sacrebleu keeps it in "
      "~/.sacrebleu/models)")("lowercase", po::bool_switch(&m.bleu.lowercase),
                              "bleu, chrf, wer: compare in lower case")(
      "smooth-method", into(m.bleu.smooth_method), "bleu: none, floor, add-k, exp [exp]")(
      "smooth-value", into(raw.smooth_value), "bleu: of floor [0.1] and add-k [1]")(
      "max-ngram-order", into(m.bleu.max_order), "bleu [4]")(
      "effective-order", po::bool_switch(&m.bleu.effective_order),
      "bleu: leave out orders without n-grams (for single segments)")(
      "chrf-char-order", into(m.chrf.char_order), "[6]")(
      "chrf-word-order", into(m.chrf.word_order), "[0]")("chrf-beta", into(m.chrf.beta), "[2]")(
      "chrf-whitespace", po::bool_switch(&m.chrf.whitespace), "count white space")(
      "chrf-eps-smoothing", po::bool_switch(&m.chrf.eps_smoothing), "as chrF++.py, NLTK, Moses")(
      "ter-normalized", po::bool_switch(&m.ter.normalized), "normalise and tokenize")(
      "ter-no-punct", po::bool_switch(&m.ter.no_punct), "remove punctuation")(
      "ter-asian-support", po::bool_switch(&m.ter.asian_support), "split Asian characters")(
      "ter-case-sensitive", po::bool_switch(&m.ter.case_sensitive), "")(
      "wer-tokenize", into(m.wer.tokenize), "as --tokenize [none]")(
      "wordnet", po::value<std::string>()->value_name("FOLDER"),
      "meteor: WordNet's files, or none [/usr/share/wordnet if it is there]")(
      "rouge-stemmer", po::bool_switch(&m.rouge.stemmer),
      "rouge*: Porter's stemmer, of rouge155 the option -m")(
      "rouge155-resamples", into(m.rouge155.resamples), "-r [1000]")(
      "rouge155-exceptions", into(m.rouge155.exceptions_folder),
      "with --rouge-stemmer: the folder of WordNet's *.exc [/usr/share/wordnet]")(
      "rouge-w-weight", into(m.rouge155.weight), "rouge155-W: -w [1.2]")(
      "rouge-skip-distance", into(m.rouge155.skip_distance), "rouge155-S, -SU: -2 [4]")(
      "wer-remove-punct", po::bool_switch(&m.wer.remove_punctuation), "drop words of punctuation");
  return out;
}

std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> names;
  std::stringstream stream(list);
  for (std::string name; std::getline(stream, name, ',');) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

eval::TextFormat format_of(const std::string& name) {
  if (name == "auto") return eval::TextFormat::kAuto;
  if (name == "plain") return eval::TextFormat::kPlain;
  if (name == "fairseq") return eval::TextFormat::kFairseq;
  if (name == "jsonl") return eval::TextFormat::kJsonl;
  fail(ErrorCode::kUsage, "--format is auto, plain, fairseq or jsonl, not ", quoted(name));
}

void check(const ScoreOptions& options) {
  ELBEAM_CHECK(!options.metric_names.empty(), ErrorCode::kUsage, "--metrics names no metric");
  ELBEAM_CHECK(!options.systems.empty(), ErrorCode::kUsage, "--sys FILE is missing");
  ELBEAM_CHECK(!options.references.empty(), ErrorCode::kUsage, "--ref FILE is missing");
  ELBEAM_CHECK(options.references.size() <= static_cast<std::size_t>(eval::kMaxReferences),
               ErrorCode::kLimit, options.references.size(), " files of references; at most ",
               eval::kMaxReferences);
  std::vector<std::string> all = options.systems;
  all.insert(all.end(), options.references.begin(), options.references.end());
  all.push_back(options.source);
  ELBEAM_CHECK(std::count(all.begin(), all.end(), "-") <= 1, ErrorCode::kUsage,
               "standard input (-) can be only one of --sys, --ref and --src");
  const bool paired = options.resampling == ScoreOptions::Resampling::kPairedBootstrap ||
                      options.resampling == ScoreOptions::Resampling::kPairedRandomization;
  ELBEAM_CHECK(!paired || options.systems.size() > 1, ErrorCode::kUsage,
               "a paired test needs two or more --sys FILE");
  ELBEAM_CHECK(options.threads >= 0 && options.threads <= 1024, ErrorCode::kUsage,
               "--threads must be 0 to 1024, got ", options.threads);
}

// The pieces of sacrebleu's tokenizers that are sentencepiece models.
void set_segmentation(const std::string& model, eval::BleuOptions& bleu) {
  if (model.empty()) return;
  ELBEAM_CHECK(eval::needs_segmentation(bleu.tokenize), ErrorCode::kUsage,
               "--tokenizer-model is for --tokenize flores101, flores200, spm or spBLEU-1K, not ",
               quoted(bleu.tokenize));
  text::BpeOptions options;
  options.name = "sentencepiece";
  options.sentencepiece_model = model;
  const std::shared_ptr<const text::Bpe> pieces = text::make_bpe(options);
  bleu.segmentation = [pieces](std::string_view line) { return pieces->encode(line); };
}

void set_resampling(const Raw& raw, ScoreOptions& options) {
  using Resampling = ScoreOptions::Resampling;
  ELBEAM_CHECK(raw.confidence + raw.paired_bs + raw.paired_ar <= 1, ErrorCode::kUsage,
               "--confidence, --paired-bs and --paired-ar exclude each other");
  options.resampling = raw.confidence  ? Resampling::kConfidence
                       : raw.paired_bs ? Resampling::kPairedBootstrap
                       : raw.paired_ar ? Resampling::kPairedRandomization
                                       : Resampling::kNone;
  ELBEAM_CHECK(raw.samples >= 0, ErrorCode::kUsage, "--samples must be 1 or more, got ",
               raw.samples);
  options.resampling_options.samples = raw.samples > 0 ? raw.samples
                                       : raw.paired_ar ? 10'000
                                                       : 1'000;
  options.resampling_options.threads = options.threads;
}

}  // namespace

ScoreOptions parse_score_options(const std::vector<std::string>& arguments) {
  Raw raw;
  po::options_description all;
  all.add(general_flags(raw)).add(resampling_flags(raw)).add(metric_flags(raw));
  const po::variables_map values = parse_flags(arguments, all);
  ScoreOptions& options = raw.options;
  if (options.help) return options;
  options.metric_names = split_list(raw.metrics);
  if (values.count("smooth-value") != 0) options.metrics.bleu.smooth_value = raw.smooth_value;
  if (values.count("wordnet") != 0) {
    options.metrics.meteor.wordnet_folder = values["wordnet"].as<std::string>();
  }
  const bool lower = options.metrics.bleu.lowercase;
  options.metrics.chrf.lowercase = options.metrics.wer.lowercase = lower;
  options.metrics.rouge155.stemmer = options.metrics.rouge.stemmer;
  options.system_text.format = options.reference_text.format = format_of(raw.format);
  options.source_text.format = options.system_text.format;
  options.source_text.role = eval::TextRole::kSource;
  options.reference_text.role = eval::TextRole::kReference;
  options.reference_text.sentence_separator = options.system_text.sentence_separator;
  set_segmentation(raw.tokenizer_model, options.metrics.bleu);
  set_resampling(raw, options);
  check(options);
  return options;
}

std::string score_help() {
  Raw raw;
  std::ostringstream out;
  out << "elbeam-score --metrics: scores of texts against references, with the numbers of\n"
         "sacrebleu 2.6.0, rouge-score 0.1.2, ROUGE-1.5.5 and fairseq.\n\n"
         "  elbeam-score --sys out.txt --ref ref.txt --metrics bleu,chrf,ter\n"
         "  elbeam-score --sys generate-test.txt --ref generate-test.txt --metrics bleu --json\n\n"
      << general_flags(raw) << "\n"
      << resampling_flags(raw) << "\n"
      << metric_flags(raw);
  return out.str();
}

}  // namespace elbeam::cli
