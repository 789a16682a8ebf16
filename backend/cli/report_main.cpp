// elbeam-report: scores and texts of systems as one HTML page. See --help.
#include "base/check.hpp"
#include "cli/command_line.hpp"
#include "cli/report_payload.hpp"
#include "cli/score_options.hpp"
#include "fairseq_bridge/run_tool.hpp"
#include "report_page.hpp"
#include "text/python_string.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace {

namespace po = boost::program_options;
using elbeam::ErrorCode;
using elbeam::cli::ReportOptions;

po::options_description flags(ReportOptions& o) {
  const auto list = [](std::vector<std::string>& target) {
    return po::value(&target)->value_name("X")->composing();
  };
  po::options_description out("The page", 100);
  out.add_options()("out", po::value(&o.out)->value_name("FILE"), "the page to write")(
      "title", po::value(&o.title)->value_name("TEXT"), "its title [elbeam report]")(
      "name", list(o.names), "what to call a system; once for each --sys [its file]")(
      "stats", list(o.stats), "elbeam-generate --stats FILE of a system; in the order of --sys")(
      "stock", po::bool_switch(&o.stock),
      "the first --sys is stock fairseq's output: say whether the others are equal to it")(
      "rows", po::value(&o.rows)->value_name("N"),
      "segments shown of a larger corpus: half the worst, half evenly spread [2000]")(
      "source-characters", po::value(&o.source_characters)->value_name("N"),
      "longer sources are cut [1200]");
  return out;
}

void check(const ReportOptions& options) {
  const std::size_t systems = options.score.systems.size();
  ELBEAM_CHECK(!options.out.empty(), ErrorCode::kUsage, "--out FILE is missing");
  ELBEAM_CHECK(options.names.empty() || options.names.size() == systems, ErrorCode::kUsage, systems,
               " systems and ", options.names.size(), " --name: give all or none");
  ELBEAM_CHECK(options.stats.size() <= systems, ErrorCode::kUsage, systems, " systems and ",
               options.stats.size(), " --stats");
  ELBEAM_CHECK(!options.stock || systems > 1, ErrorCode::kUsage,
               "--stock compares with the first --sys: a second one is missing");
  ELBEAM_CHECK(options.rows >= 2 && options.rows <= 100'000, ErrorCode::kUsage,
               "--rows must be 2 to 100000, got ", options.rows);
  ELBEAM_CHECK(options.source_characters >= 1, ErrorCode::kUsage,
               "--source-characters must be at least 1, got ", options.source_characters);
  for (const std::string& path : options.score.systems) {
    ELBEAM_CHECK(path != "-", ErrorCode::kUsage, "--sys is read twice: it must be a file");
  }
}

std::string help() {
  ReportOptions options;
  std::ostringstream out;
  out << "elbeam-report: scores and texts side by side, one HTML page that needs nothing else.\n\n"
         "  elbeam-report --sys stock.txt --sys mine.txt --ref stock.txt --src stock.txt \\\n"
         "    --metrics bleu,chrf --stock --out report.html\n\n"
      << flags(options) << "\nand all options of elbeam-score --metrics:\n\n"
      << elbeam::cli::score_help();
  return out.str();
}

// JSON inside a script element: nothing in it may end the element or begin a comment.
std::string as_script_data(const nlohmann::ordered_json& json) {
  using Json = nlohmann::ordered_json;
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return elbeam::text::replace_all(text, "<", "\\u003c");
}

std::string escaped(std::string text) {
  text = elbeam::text::replace_all(text, "&", "&amp;");
  return elbeam::text::replace_all(text, "<", "&lt;");
}

std::string page_of(const ReportOptions& options) {
  const nlohmann::ordered_json payload = elbeam::cli::report_payload(options);
  // From the last mark to the first, so that no text of the data is taken for one.
  std::string page(elbeam::cli::kPageHtml);
  const auto put = [&page](std::string_view mark, std::string_view text) {
    const std::size_t place = page.rfind(mark);
    ELBEAM_INVARIANT(place != std::string::npos);
    page.replace(place, mark.size(), text);
  };
  put("{{script}}", elbeam::cli::kPageJs);
  put("{{style}}", elbeam::cli::kPageCss);
  put("{{title}}", escaped(options.title));
  put("{{data}}", as_script_data(payload));
  return page;
}

void run(const std::vector<std::string>& arguments) {
  ReportOptions options;
  std::vector<std::string> others;
  elbeam::cli::parse_known_flags(arguments, flags(options), others);
  for (const std::string& one : others) {
    if (one == "--help" || one == "-h") return elbeam::fairseq::print_text(help());
  }
  options.score = elbeam::cli::parse_score_options(others);
  check(options);
  const std::string page = page_of(options);
  std::ofstream file(options.out, std::ios::binary);
  file << page;
  file.flush();
  ELBEAM_CHECK(file, ErrorCode::kIo, "cannot write ", elbeam::quoted(options.out), ": ",
               std::strerror(errno));
}

}  // namespace

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-report", argc, argv, run);
}
