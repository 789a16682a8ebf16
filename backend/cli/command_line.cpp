#include "cli/command_line.hpp"

#include "base/check.hpp"

namespace elbeam::cli {
namespace {

namespace po = boost::program_options;

// others: where unknown arguments go; nullptr: they are errors.
po::variables_map parse(const std::vector<std::string>& arguments,
                        const po::options_description& flags, std::vector<std::string>* others) {
  po::variables_map values;
  try {
    namespace style = po::command_line_style;
    po::command_line_parser parser(arguments);
    parser.options(flags).style(style::unix_style & ~style::allow_guessing);
    const po::positional_options_description none;
    if (others != nullptr) {
      parser.allow_unregistered();
    } else {
      parser.positional(none);
    }
    const po::parsed_options parsed = parser.run();
    if (others != nullptr) {
      *others = po::collect_unrecognized(parsed.options, po::include_positional);
    }
    po::store(parsed, values);
    po::notify(values);
  } catch (const po::error& error) {
    fail(ErrorCode::kUsage, error.what());
  }
  return values;
}

}  // namespace

po::variables_map parse_flags(const std::vector<std::string>& arguments,
                              const po::options_description& flags) {
  return parse(arguments, flags, nullptr);
}

po::variables_map parse_known_flags(const std::vector<std::string>& arguments,
                                    const po::options_description& flags,
                                    std::vector<std::string>& others) {
  return parse(arguments, flags, &others);
}

}  // namespace elbeam::cli
