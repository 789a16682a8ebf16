// elbeam-bpe: lines of text to sub-words and back. See --help.
#include <elbeam/generator.hpp>

#include "base/check.hpp"
#include "cli/command_line.hpp"
#include "fairseq_bridge/line_reader.hpp"
#include "fairseq_bridge/run_tool.hpp"
#include "text/bpe.hpp"

#include <sstream>

namespace {

namespace po = boost::program_options;

struct Options {
  elbeam::text::BpeOptions bpe;
  std::string input = "-";
  bool decode = false;
  bool help = false;
  bool version = false;
};

po::options_description flags(Options& o) {
  const auto text = [](std::string& target) { return po::value(&target)->value_name("X"); };
  po::options_description out("Options", 100);
  out.add_options()("help,h", po::bool_switch(&o.help), "this text")(
      "version", po::bool_switch(&o.version), "version of elbeam")(
      "bpe", text(o.bpe.name),
      "gpt2, subword_nmt, fastbpe, sentencepiece, bytes, byte_bpe, characters or hf_byte_bpe")(
      "input", text(o.input), "file to read [-: standard input]")(
      "decode", po::bool_switch(&o.decode), "sub-words to text")(
      "gpt2-encoder-json", text(o.bpe.gpt2_encoder_json), "vocabulary of gpt2")(
      "gpt2-vocab-bpe", text(o.bpe.gpt2_vocab_bpe), "merges of gpt2")(
      "bpe-codes", text(o.bpe.codes), "merges of subword_nmt and fastbpe")(
      "bpe-separator", text(o.bpe.bpe_separator), "mark of subword_nmt [@@]")(
      "sentencepiece-model", text(o.bpe.sentencepiece_model), "of sentencepiece and byte_bpe")(
      "bpe-vocab", text(o.bpe.hf_vocab), "vocabulary of hf_byte_bpe")(
      "bpe-merges", text(o.bpe.hf_merges), "merges of hf_byte_bpe")(
      "bpe-add-prefix-space", po::bool_switch(&o.bpe.hf_add_prefix_space), "of hf_byte_bpe");
  return out;
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  elbeam::cli::parse_flags(arguments, flags(options));
  ELBEAM_CHECK(options.help || options.version || !options.bpe.name.empty(),
               elbeam::ErrorCode::kUsage, "--bpe NAME is missing");
  return options;
}

std::string help() {
  Options options;
  std::ostringstream out;
  out << "elbeam-bpe: lines of text to sub-words and back, on standard output.\n\n"
         "  elbeam-bpe --bpe gpt2 --gpt2-encoder-json encoder.json --gpt2-vocab-bpe vocab.bpe \\\n"
         "    --input test.source > test.bpe.source\n\n"
      << flags(options);
  return out.str();
}

void run(const std::vector<std::string>& arguments) {
  namespace fairseq = elbeam::fairseq;
  const Options options = parse(arguments);
  if (options.help) return fairseq::print_text(help());
  if (options.version) {
    return fairseq::print_text(std::string("elbeam-bpe ") + elbeam::version() + "\n");
  }
  const auto bpe = elbeam::text::make_bpe(options.bpe);
  fairseq::LineReader lines(options.input);
  constexpr std::size_t kBlock = std::size_t{1} << 16;
  std::string out;
  while (const auto line = lines.next()) {
    out += options.decode ? bpe->decode(*line) : bpe->encode(*line);
    out += '\n';
    if (out.size() < kBlock) continue;
    fairseq::print_text(out);
    out.clear();
  }
  fairseq::print_text(out);
}

}  // namespace

int main(int argc, char** argv) { return elbeam::fairseq::run_tool("elbeam-bpe", argc, argv, run); }
