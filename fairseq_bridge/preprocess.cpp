#include "fairseq_bridge/preprocess.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/binarizer.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "text/python_format.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <system_error>

namespace elbeam::fairseq {
namespace {

namespace fs = std::filesystem;

constexpr char kLogger[] = "fairseq_cli.preprocess";
// From here on the text and the dictionary hardly belong together: other sub-words, another
// language.
constexpr double kSuspiciousPercent = 20.0;

using Language = std::optional<std::string>;

std::string python_text(const Language& language) { return language.value_or("None"); }

// fairseq_cli/preprocess.py:_train_path and _file_name
std::string with_language(const std::string& prefix, const Language& language) {
  return language ? concat(prefix, ".", *language) : prefix;
}

class Preprocessor {
 public:
  explicit Preprocessor(const PreprocessOptions& options)
      : options_(options), pool_(options.workers) {}

  void run() {
    prepare_destination();
    make_dictionaries();
    save_dictionary(*source_, dictionary_path(options_.source_lang));
    if (!options_.only_source) save_dictionary(*target_, dictionary_path(options_.target_lang));
    if (options_.dictionary_only) return;
    make_splits(options_.source_lang, *source_);
    if (!options_.only_source) make_splits(options_.target_lang, *target_);
    if (options_.align_suffix) make_alignments();
    log(concat("Wrote preprocessed data to ", options_.destination));
    if (options_.alignment_file) make_alignments_dictionary();
  }

 private:
  void log(const std::string& message) {
    fairseq_log(LogLevel::kInfo, kLogger, message);
    log_file_ << message << std::endl;
    ELBEAM_CHECK(log_file_.good(), ErrorCode::kIo, log_path_,
                 ": cannot write: ", std::strerror(errno));
  }

  void prepare_destination() {
    std::error_code error;
    fs::create_directories(options_.destination, error);
    ELBEAM_CHECK(!error, ErrorCode::kIo, options_.destination,
                 ": cannot create the folder: ", error.message());
    log_path_ = (fs::path(options_.destination) / "preprocess.log").string();
    log_file_.open(log_path_, std::ios::app);
    ELBEAM_CHECK(log_file_.is_open(), ErrorCode::kIo, log_path_,
                 ": cannot create: ", std::strerror(errno));
    const auto refuse_existing = [this](const Language& language) {
      const std::string path = dictionary_path(language);
      std::error_code ignored;
      ELBEAM_CHECK(!fs::exists(path, ignored), ErrorCode::kIo, path,
                   ": exists already; remove it, or name it with --srcdict or --tgtdict");
    };
    if (!options_.source_dictionary) refuse_existing(options_.source_lang);
    if (!options_.only_source && !options_.target_dictionary) {
      refuse_existing(options_.target_lang);
    }
  }

  std::string dictionary_path(const Language& language) const {
    return (fs::path(options_.destination) / with_language("dict", language)).string() + ".txt";
  }

  std::string train_path(const Language& language) const {
    return with_language(options_.train_prefix.value(), language);
  }

  std::string pair_name() const {
    return concat(python_text(options_.source_lang), "-", python_text(options_.target_lang));
  }

  std::shared_ptr<const text::Dictionary> build(const std::set<std::string>& files,
                                                const DictionaryLimits& dictionary_limits) {
    DictionaryBuilder builder;
    for (const std::string& file : files) builder.add_file(file, pool_);
    return std::make_shared<text::Dictionary>(builder.finish(dictionary_limits));
  }

  std::shared_ptr<const text::Dictionary> load_or_build(const std::optional<std::string>& given,
                                                        const char* flag, const Language& language,
                                                        const DictionaryLimits& limits_of_side) {
    if (given) return std::make_shared<text::Dictionary>(text::Dictionary::load(*given));
    ELBEAM_CHECK(options_.train_prefix, ErrorCode::kUsage, "--trainpref must be set if ", flag,
                 " is not specified");
    return build({train_path(language)}, limits_of_side);
  }

  void make_dictionaries() {
    if (!options_.joined_dictionary) {
      source_ = load_or_build(options_.source_dictionary, "--srcdict", options_.source_lang,
                              options_.source_limits);
      if (!options_.only_source) {
        target_ = load_or_build(options_.target_dictionary, "--tgtdict", options_.target_lang,
                                options_.target_limits);
      }
      return;
    }
    ELBEAM_CHECK(!options_.source_dictionary || !options_.target_dictionary, ErrorCode::kUsage,
                 "cannot use both --srcdict and --tgtdict with --joined-dictionary");
    const auto& given =
        options_.source_dictionary ? options_.source_dictionary : options_.target_dictionary;
    if (given) {
      source_ = std::make_shared<text::Dictionary>(text::Dictionary::load(*given));
    } else {
      ELBEAM_CHECK(options_.train_prefix, ErrorCode::kUsage,
                   "--trainpref must be set if --srcdict is not specified");
      source_ = build({train_path(options_.source_lang), train_path(options_.target_lang)},
                      options_.source_limits);
    }
    target_ = source_;
  }

  // fairseq_cli/preprocess.py:dataset_dest_prefix
  std::string dataset_prefix(const std::string& split, const Language& language) const {
    std::string name = split;
    if (language) {
      name += concat(".", pair_name(), ".", *language);
    } else if (!options_.only_source) {
      name += "." + pair_name();
    }
    return (fs::path(options_.destination) / name).string();
  }

  void make_split(const std::string& prefix, const std::string& split, const Language& language,
                  const text::Dictionary& dictionary) {
    const std::string input = with_language(prefix, language);
    if (options_.impl == DatasetImpl::kRaw) {
      const std::string name = with_language(concat(split, ".", pair_name()), language);
      copy(input, (fs::path(options_.destination) / name).string());
      return;
    }
    const std::string side = python_text(language);
    log(concat("[", side, "] Dictionary: ", dictionary.size(), " types"));
    const BinarizeSummary summary =
        binarize_text(input, dictionary, {dataset_prefix(split, language), format()}, pool_);
    log(concat("[", side, "] ", input, ": ", summary.text(), " (by ",
               dictionary.symbol(dictionary.special().unk), ")"));
    if (100.0 * static_cast<double>(summary.replaced) >
        kSuspiciousPercent * static_cast<double>(summary.tokens)) {
      fairseq_log(LogLevel::kWarning, kLogger,
                  concat(input, ": the dictionary has not got ", summary.replaced, " of ",
                         summary.tokens, " tokens; was the text split into the same sub-words?"));
    }
  }

  static void copy(const std::string& from, const std::string& to) {
    std::error_code error;
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
    ELBEAM_CHECK(!error, ErrorCode::kIo, from, ": cannot be copied to ", to, ": ", error.message());
  }

  void make_splits(const Language& language, const text::Dictionary& dictionary) {
    if (options_.train_prefix) make_split(*options_.train_prefix, "train", language, dictionary);
    const auto make_all = [&](const std::vector<std::string>& prefixes, const std::string& split) {
      for (std::size_t k = 0; k < prefixes.size(); ++k) {
        make_split(prefixes[k], k == 0 ? split : concat(split, k), language, dictionary);
      }
    };
    make_all(options_.valid_prefixes, "valid");
    make_all(options_.test_prefixes, "test");
  }

  DatasetBuilder::Format format() const {
    return options_.impl == DatasetImpl::kMmap ? DatasetBuilder::Format::kMmap
                                               : DatasetBuilder::Format::kTnt;
  }

  // As in fairseq, alignments of several --validpref are not looked for, and with --dataset-impl
  // raw they are written in the older binary format.
  void make_alignments() {
    const auto make = [this](const std::string& prefix, const std::string& split) {
      const std::string input = concat(prefix, ".", *options_.align_suffix);
      std::error_code ignored;
      if (!fs::exists(input, ignored)) return;
      const BinarizeSummary summary = binarize_alignments(
          input, {dataset_prefix(split + ".align", std::nullopt), format()}, pool_);
      log(concat("[alignments] ", input, ": parsed ", summary.sentences, " alignments"));
    };
    if (options_.train_prefix) make(*options_.train_prefix, "train");
    if (options_.valid_prefixes.size() == 1) make(options_.valid_prefixes[0], "valid");
    if (options_.test_prefixes.size() == 1) make(options_.test_prefixes[0], "test");
  }

  void make_alignments_dictionary() {
    if (options_.alignment_lines == AlignmentLines::kBest) {
      fairseq_log(LogLevel::kWarning, kLogger,
                  "--alignfile: fairseq writes a line for every alignment instead of one for every "
                  "source word; --compat fairseq-main does the same");
    }
    const std::string name = concat("alignment.", pair_name(), ".txt");
    make_alignment_dictionary(
        *options_.alignment_file, {train_path(options_.source_lang), *source_},
        {train_path(options_.target_lang), *target_}, options_.alignment_lines,
        (fs::path(options_.destination) / name).string());
  }

  const PreprocessOptions& options_;
  ThreadPool pool_;
  std::string log_path_;
  std::ofstream log_file_;
  std::shared_ptr<const text::Dictionary> source_;
  std::shared_ptr<const text::Dictionary> target_;
};

}  // namespace

void run_preprocess(const PreprocessOptions& options) { Preprocessor(options).run(); }

}  // namespace elbeam::fairseq
