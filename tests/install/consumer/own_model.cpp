// A user's program on the installed library: decodes with a StepModel of its own, and catches an
// Error that the library throws. Exit status 0 when both went as documented.
#include <elbeam/generator.hpp>

#include <iostream>
#include <memory>
#include <vector>

namespace {

constexpr std::int64_t kVocabulary = 6;

// Says token 4 three times, then eos, whatever the source is.
class State final : public elbeam::DecodeState {
 public:
  void step(const elbeam::StepInput& input, const elbeam::StepOutput& output) override {
    const std::span<float> log_probs = output.log_probs;
    const std::size_t wanted = steps_++ < 3 ? 4 : 2;
    for (std::size_t i = 0; i < log_probs.size(); ++i) {
      log_probs[i] = i % kVocabulary == wanted ? -0.1F : -5.0F;
    }
    (void)input;
  }

 private:
  int steps_ = 0;
};

class Model final : public elbeam::StepModel {
 public:
  std::int64_t vocab_size() const override { return kVocabulary; }
  std::int64_t max_decoder_positions() const override { return 32; }
  std::int64_t max_source_positions() const override { return 32; }
  std::unique_ptr<elbeam::DecodeState> start(const elbeam::SourceBatch&,
                                             const elbeam::DecodeShape&) override {
    return std::make_unique<State>();
  }
};

}  // namespace

int main() {
  const elbeam::Generator generator(std::make_shared<Model>(), elbeam::SpecialTokens{});
  elbeam::SearchOptions options;
  options.beam = 2;
  elbeam::GenerateRequest request;
  request.batch = {{{5, 5, 2}}, 3};
  const auto results = generator.generate(request, options);
  const std::vector<std::int64_t> expected = {4, 4, 4, 2};
  if (results.size() != 1 || results[0].hypotheses[0].tokens != expected) {
    std::cerr << "unexpected hypothesis\n";
    return 1;
  }
  try {
    options.beam = 0;
    options.validate();
  } catch (const elbeam::Error& error) {
    std::cout << "elbeam " << elbeam::version() << ": " << error.what() << '\n';
    return elbeam::exit_code(error.code()) == 2 ? 0 : 1;
  }
  std::cerr << "beam 0 was accepted\n";
  return 1;
}
