// The points where stock fairseq surprises its users, and what each --compat does about them. All
// of them are in one table, compat.cpp.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

enum class Compat { kFairseq0122, kFairseqMain, kFixed };

enum class Quirk {
  kDropRaggedLastBatch,
  kNgramBlockingIgnored,
  kShardsIgnored,
  kSacrebleuIgnored,
  kNbestAboveBeam,
  kPaddedMaxLen,
  kMatchedLengthIsFree,
  kSourceLengthCountsEos,
  kDiversityCumulates,
  kDiversityIndexesIds,
  kReplaceUnkFile,
  kReplaceUnkFails,
  kConstraintsFail,
  kPrintStepFails,
  kSoftReferenceAlignmentFails,
  kInteractiveSoftAlignmentFails,
  kLanguageModelAlignmentFails,
  kWholeLineIsPrefix,
  kPretrainedBartFails,
  kHalfPrecisionIsSingle,
  kEvalLmBpeMark,
};

struct QuirkRow {
  Quirk quirk;
  std::string_view name;  // for messages and documentation: "ragged-batch"
  // Whether each mode behaves as the quirk says.
  bool fairseq_0122;
  bool fairseq_main;
  bool fixed;
  // What stock does: "drops the last batch when ...", or, for one that stops fairseq, how.
  std::string_view fairseq_does;
  // What --compat fixed does instead; said once in a run that meets the quirk.
  std::string_view fixed_does;
};

std::span<const QuirkRow> quirks() noexcept;
const QuirkRow& quirk_row(Quirk quirk);
bool has_quirk(Compat compat, Quirk quirk);

// "fairseq-0.12.2", "fairseq-main", "fixed".
std::optional<Compat> parse_compat(std::string_view name) noexcept;

// The one place where a run notes that its options meet a quirk. Warnings are said once, and in
// --compat fixed alone: the other modes were asked for by name.
class QuirkLog {
 public:
  explicit QuirkLog(Compat compat) : compat_(compat) {}

  Compat compat() const noexcept { return compat_; }
  // Whether this run behaves as the quirk says; in --compat fixed a warning is logged the first
  // time.
  bool meets(Quirk quirk);
  // For quirks by which fairseq stops: Error(kFairseqFails) where this run behaves as it does.
  void fails_at(Quirk quirk);

 private:
  Compat compat_;
  std::vector<Quirk> said_;
};

}  // namespace elbeam::fairseq
