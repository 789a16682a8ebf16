// Translates the lines of stdin with a fairseq model: one line in, one line out.
//   translate MODEL SOURCE_DICTIONARY TARGET_DICTIONARY < tokens.de > tokens.en
#include <elbeam/generator.hpp>

#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: translate MODEL SOURCE_DICTIONARY TARGET_DICTIONARY < lines\n";
    return 2;
  }
  try {
    elbeam::LoadOptions load;
    load.model_path = argv[1];
    load.source_dictionary_path = argv[2];
    load.target_dictionary_path = argv[3];
    const elbeam::Generator generator(load);

    elbeam::SearchOptions search;
    search.beam = 4;
    for (std::string line; std::getline(std::cin, line);) {
      const auto results = generator.translate({line}, search);
      std::cout << results[0].hypotheses[0].text << '\n';
    }
  } catch (const elbeam::Error& error) {
    std::cerr << "translate: " << error.what() << '\n';
    return elbeam::exit_code(error.code());
  }
}
