#include "base/check.hpp"
#include "base/mapped_file.hpp"
#include "text/bpe_encodings.hpp"
#include "text/python_string.hpp"

#include <sentencepiece_processor.h>

namespace elbeam::text {
namespace {

// Model files are parsed by the library; what it says of a bad one goes into the message.
class PieceModel {
 public:
  explicit PieceModel(const std::string& path) {
    const MappedFile file(path);  // for elbeam's own messages about missing files and folders
    const auto status = processor_.LoadFromSerializedProto(
        {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
    ELBEAM_CHECK(status.ok(), ErrorCode::kFormat, path,
                 ": not a sentencepiece model: ", status.ToString());
  }

  std::string encode(std::string_view text) const {
    std::vector<std::string> pieces;
    const auto status = processor_.Encode({text.data(), text.size()}, &pieces);
    ELBEAM_CHECK(status.ok(), ErrorCode::kModel, "sentencepiece: ", status.ToString());
    std::string out;
    for (const std::string& piece : pieces) {
      if (!out.empty()) out += ' ';
      out += piece;
    }
    return out;
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

std::unique_ptr<PieceModel> model_if_given(const std::string& path) {
  return path.empty() ? nullptr : std::make_unique<PieceModel>(path);
}

// fairseq/data/encoders/sentencepiece_bpe.py
class SentencePiece final : public Bpe {
 public:
  explicit SentencePiece(const std::string& model) : model_(model_if_given(model)) {}

  std::string encode(std::string_view line) const override {
    ELBEAM_CHECK(model_, ErrorCode::kUsage,
                 "--sentencepiece-model is required for --bpe=sentencepiece");
    require_utf8(line);
    return model_->encode(line);
  }
  std::string decode(std::string_view pieces) const override {
    return std::string(strip(blanks_from_marks(pieces)));
  }

 private:
  std::unique_ptr<PieceModel> model_;
};

// fairseq/data/encoders/byte_bpe.py
class ByteBpe final : public Bpe {
 public:
  explicit ByteBpe(const std::string& model) : model_(model_if_given(model)) {}

  std::string encode(std::string_view line) const override {
    ELBEAM_CHECK(model_, ErrorCode::kUsage,
                 "--sentencepiece-model-path is required for --bpe=byte_bpe");
    return model_->encode(bytes_as_characters(line));
  }
  std::string decode(std::string_view pieces) const override {
    return text_of_byte_characters(blanks_from_marks(pieces));
  }

 private:
  std::unique_ptr<PieceModel> model_;
};

}  // namespace

std::unique_ptr<Bpe> make_sentencepiece(const BpeOptions& options) {
  return std::make_unique<SentencePiece>(options.sentencepiece_model);
}

std::unique_ptr<Bpe> make_byte_bpe(const BpeOptions& options) {
  return std::make_unique<ByteBpe>(options.sentencepiece_model);
}

}  // namespace elbeam::text
