#include "fairseq_bridge/score.hpp"

#include <elbeam/generator.hpp>

#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/bleu.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/line_reader.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "fairseq_bridge/run_tool.hpp"
#include "fairseq_bridge/text_scorer.hpp"
#include "text/dictionary.hpp"
#include "text/unicode.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace elbeam::fairseq {
namespace {

constexpr FlagSpec kFlags[] = {
    {"--help", "-h", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--ignore-case", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--order", "-o", FlagKind::kInt, Arity::kOne, "", "4", "", ""},
    {"--ref", "-r", FlagKind::kString, Arity::kOne, "", "", "", ""},
    {"--sacrebleu", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--sentence-bleu", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--sys", "-s", FlagKind::kString, Arity::kOne, "", "-", "", ""},
    {"--version", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
};

constexpr char kHelp[] =
    R"(elbeam-score: BLEU of system output against references, as fairseq-score.

  elbeam-score --sys output.txt --ref reference.txt
  elbeam-score --ref reference.txt < output.txt
  elbeam-score output.txt < reference.txt

  -s, --sys FILE      system output, a sentence a line; - is standard input [-]
  -r, --ref FILE      references, a sentence a line
  -o, --order N       longest n-gram that counts, 1 to 4 [4]
  --ignore-case       compare in lower case
  --sentence-bleu     a line for each sentence, smoothed by one
  --sacrebleu         detokenized text: BLEU as sacrebleu 2.6.0
  --metrics LIST      another command line with all of elbeam's metrics:
                      elbeam-score --metrics bleu --help
  -h, --help          this text
  --version           version of elbeam

Words are what white space separates. Exit codes: 0 done; 2 wrong options; 3 a file was rejected;
4 out of memory; 130, 143 interrupted; 70 internal error.
)";

struct ScoreOptions {
  std::string system;
  std::string reference;
  int order = 4;
  bool ignore_case = false;
  bool sacrebleu = false;
  bool sentence_bleu = false;
};

// repr() of a string without control characters.
std::string python_literal(const std::string& text) {
  const bool has_single = text.find('\'') != std::string::npos;
  const char quote = has_single && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\') out += '\\';
    out += c;
  }
  return out + quote;
}

// What fairseq-score prints before anything else: print(args).
std::string namespace_line(const ScoreOptions& options) {
  const auto boolean = [](bool value) { return value ? "True" : "False"; };
  return concat("Namespace(sys=", python_literal(options.system),
                ", ref=", python_literal(options.reference), ", order=", options.order,
                ", ignore_case=", boolean(options.ignore_case),
                ", sacrebleu=", boolean(options.sacrebleu),
                ", sentence_bleu=", boolean(options.sentence_bleu), ")\n");
}

ScoreOptions score_options(const ParsedFlags& flags) {
  // Beyond fairseq-score: the system output without its flag, and the references then from
  // standard input.
  const std::string output = flags.data();
  ELBEAM_CHECK(flags.unrecognized().empty(), ErrorCode::kUsage,
               "unrecognized arguments: ", flags.unrecognized().front());
  ELBEAM_CHECK(output.empty() || flags.text("--sys").value() == "-", ErrorCode::kUsage,
               "two system outputs: ", quoted(flags.text("--sys").value()), " and ",
               quoted(output));
  ELBEAM_CHECK(flags.text("--ref").has_value() || !output.empty(), ErrorCode::kUsage,
               "the following arguments are required: -r/--ref");
  const std::int64_t order = flags.integer("--order").value();
  ELBEAM_CHECK(order <= 4, ErrorCode::kUsage,
               "BLEU scores for order > 4 aren't supported: --order ", order);
  ELBEAM_CHECK(order >= 1, ErrorCode::kUsage, "--order must be at least 1, got ", order);
  ScoreOptions options;
  options.system = output.empty() ? flags.text("--sys").value() : output;
  options.reference = flags.text("--ref").value_or("-");
  ELBEAM_CHECK(options.system != "-" || options.reference != "-", ErrorCode::kUsage,
               "standard input (-) can be only one of --sys and --ref");
  options.order = static_cast<int>(order);
  options.ignore_case = flags.flag("--ignore-case");
  options.sacrebleu = flags.flag("--sacrebleu");
  options.sentence_bleu = flags.flag("--sentence-bleu");
  return options;
}

class LinePairs {
 public:
  explicit LinePairs(const ScoreOptions& options)
      : system_(options.system), reference_(options.reference), ignore_case_(options.ignore_case) {}

  // The next pair of lines; false where one of the files ends, as Python's zip().
  bool next(std::string& system, std::string& reference) {
    auto system_line = system_.next();
    auto reference_line = reference_.next();
    if (!system_line || !reference_line) {
      if (system_line || reference_line) warn_of_rest(system_line.has_value());
      return false;
    }
    system = std::move(*system_line);
    reference = std::move(*reference_line);
    return true;
  }

  // The same as ids.
  bool next(std::vector<std::int64_t>& system, std::vector<std::int64_t>& reference) {
    std::string system_line;
    std::string reference_line;
    if (!next(system_line, reference_line)) return false;
    system = encode(system_line);
    reference = encode(reference_line);
    return true;
  }

  SpecialTokens special() const { return words_.special(); }

 private:
  std::vector<std::int64_t> encode(const std::string& line) {
    return words_.encode_line_adding(ignore_case_ ? text::lower(line) : line);
  }

  void warn_of_rest(bool of_system) const {
    const LineReader& longer = of_system ? system_ : reference_;
    const LineReader& shorter = of_system ? reference_ : system_;
    fairseq_log(LogLevel::kWarning, "fairseq_cli.score",
                concat(longer.name(), " has more lines than ", shorter.name(), " (",
                       shorter.lines(), "): the rest is not scored"));
  }

  LineReader system_;
  LineReader reference_;
  text::Dictionary words_;
  bool ignore_case_;
};

// As there, --sacrebleu goes before the other options, and --ignore-case does nothing to it.
std::string sacrebleu_line(LinePairs& pairs) {
  TextScorer scorer({"sacrebleu"});
  std::string system;
  std::string reference;
  while (pairs.next(system, reference)) scorer.add(reference, system);
  return scorer.result_string() + "\n";
}

void score(const ScoreOptions& options) {
  LinePairs pairs(options);
  OutputFile output = OutputFile::standard_output();
  output.append(namespace_line(options));
  std::vector<std::int64_t> system;
  std::vector<std::int64_t> reference;
  if (options.sacrebleu) {
    output.append(sacrebleu_line(pairs));
  } else if (options.sentence_bleu) {
    for (std::int64_t i = 0; pairs.next(system, reference); ++i) {
      BleuScorer scorer(pairs.special(), BleuScorer::Smoothing::kAddOne);
      scorer.add(reference, system);
      output.append(concat(i, " ", scorer.result_string(options.order), "\n"));
      output.flush();
    }
  } else {
    BleuScorer scorer(pairs.special());
    while (pairs.next(system, reference)) scorer.add(reference, system);
    output.append(scorer.result_string(options.order) + "\n");
  }
  output.flush();
}

}  // namespace

void run_score(const std::vector<std::string>& arguments) {
  std::vector<const FlagSpec*> specs;
  for (const FlagSpec& spec : kFlags) specs.push_back(&spec);
  const ParsedFlags flags = parse_arguments(arguments, specs);
  if (flags.flag("--help")) return print_text(kHelp);
  if (flags.flag("--version")) return print_text(concat("elbeam-score ", version(), "\n"));
  score(score_options(flags));
}

}  // namespace elbeam::fairseq
