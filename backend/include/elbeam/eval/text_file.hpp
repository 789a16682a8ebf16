// Texts out of files, one segment after the other: plain lines, fairseq's output, JSON lines; each
// also compressed with gzip.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace elbeam::eval {

inline constexpr std::int64_t kMaxReferences = 100;  // of one segment

enum class TextFormat {
  kAuto,     // by the file's name (.jsonl) and first lines
  kPlain,    // a line is a segment
  kFairseq,  // fairseq-generate's output: lines S-, T-, H-, D- with an id, in any order
  kJsonl,    // a line is a JSON object; one field of it is the text, or a list of texts
};

// What is wanted of a file that holds several things.
enum class TextRole { kHypothesis, kReference, kSource };

struct TextFileOptions {
  TextFormat format = TextFormat::kAuto;
  TextRole role = TextRole::kHypothesis;
  std::string field;  // of kJsonl; empty: "hypothesis", "reference" or "source"
  // Where a text says this, a new sentence begins ("<n>", "<q>"); empty: nowhere.
  std::string sentence_separator;
};

// Not thread-safe. Plain and JSON lines are read as they are needed and take the memory of one
// line. fairseq's output is given in the order of its ids, for which it is read by open() already;
// what does not fit into 8 MiB is sorted in a temporary file (in TMPDIR, else /tmp). Of several
// hypotheses with one id the first counts, and detokenized ones (D-) if there are any.
class TextFile {
 public:
  // "-" is standard input. Throws Error: kIo, and of fairseq's output whatever next() throws.
  static std::unique_ptr<TextFile> open(const std::string& path, const TextFileOptions& options);

  virtual ~TextFile() = default;

  // Replaces `texts` by those of the next segment (one, but for a list in JSON); false at the end.
  // Throws Error: kIo; kFormat, with line and byte, for bytes that are not UTF-8, broken JSON,
  // lines that are not fairseq's; kIntegrity for a compressed file that breaks off; kLimit for a
  // line above 1 GiB or more than kMaxReferences texts.
  bool next(std::vector<std::string>& texts);

  const std::string& name() const noexcept { return name_; }
  std::int64_t segments() const noexcept { return segments_; }  // returned so far

 protected:
  TextFile(std::string name, const TextFileOptions& options);
  virtual bool read(std::vector<std::string>& texts) = 0;

  const TextFileOptions& options() const noexcept { return options_; }

 private:
  std::string name_;
  TextFileOptions options_;
  std::int64_t segments_ = 0;
};

}  // namespace elbeam::eval
