#include "cli/report_payload.hpp"

#include <elbeam/generator.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "cli/score_metrics.hpp"
#include "eval/line_source.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>
#include <set>

namespace elbeam::cli {
namespace {

using Json = nlohmann::ordered_json;
using Texts = std::vector<std::string>;

std::vector<Texts> read_all(const std::string& path, const eval::TextFileOptions& options) {
  std::vector<Texts> all;
  const auto file = eval::TextFile::open(path, options);
  for (Texts texts; file->next(texts);) all.push_back(texts);
  return all;
}

// All texts of the corpus; their numbers agree, for the scores were computed before.
struct Corpus {
  explicit Corpus(const ScoreOptions& options) {
    for (const std::string& path : options.systems) {
      Texts texts;
      for (Texts& one : read_all(path, options.system_text))
        texts.push_back(std::move(one.front()));
      systems.push_back(std::move(texts));
    }
    references.resize(systems.front().size());
    for (const std::string& path : options.references) {
      std::vector<Texts> file = read_all(path, options.reference_text);
      for (std::size_t i = 0; i < file.size(); ++i) {
        std::move(file[i].begin(), file[i].end(), std::back_inserter(references[i]));
      }
    }
    if (options.source.empty()) return;
    for (Texts& one : read_all(options.source, options.source_text)) {
      sources.push_back(std::move(one.front()));
    }
  }

  std::size_t size() const { return references.size(); }

  std::vector<Texts> systems;     // [system][segment]
  std::vector<Texts> references;  // [segment][reference]
  Texts sources;                  // [segment], or empty
};

// Four digits are more than a page shows.
double rounded(double value) { return std::round(value * 1e4) / 1e4; }

// Takes the segments' scores out of what score_systems() gives: {metric: [system][segment]}. A
// group (rouge155) shows its members, not itself.
Json take_segment_scores(Json& systems) {
  Json all = Json::object();
  for (Json& system : systems) {
    Json metrics = Json::object();
    for (auto& [name, value] : system["metrics"].items()) {
      bool group = false;
      for (auto& [part, member] : value.items()) {
        if (!member.is_object()) continue;
        metrics[part] = member;
        group = true;
      }
      if (!group) metrics[name] = value;
    }
    for (auto& [name, value] : metrics.items()) {
      Json& list = all[name].emplace_back(Json::array());
      for (const Json& score : value["segments"]) list.push_back(rounded(score.get<double>()));
      value.erase("segments");
    }
    system["metrics"] = std::move(metrics);
  }
  return all;
}

std::int64_t words_of(std::string_view text) { return ssize(text::split_words(text).size()); }

Json lengths_of(const Corpus& corpus) {
  const auto count = [](const Texts& texts) {
    Json list = Json::array();
    for (const std::string& text : texts) list.push_back(words_of(text));
    return list;
  };
  Json out{{"source", count(corpus.sources)}, {"reference", Json::array()}};
  for (const Texts& references : corpus.references) {
    out["reference"].push_back(words_of(references.front()));
  }
  for (const Texts& system : corpus.systems) out["systems"].push_back(count(system));
  return out;
}

// Which segments are shown, in the order of the corpus.
std::vector<std::size_t> choose_rows(const Json& scores, std::size_t segments, std::size_t most) {
  std::vector<std::size_t> all(segments);
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (segments <= most) return all;
  const std::string& metric = scores.begin().key();
  const bool less_is_better = metric == "ter" || metric == "wer" || metric == "cer";
  const Json& values = scores.begin().value().back();
  std::stable_sort(all.begin(), all.end(), [&](std::size_t a, std::size_t b) {
    const double x = values[a].get<double>();
    const double y = values[b].get<double>();
    return less_is_better ? x > y : x < y;
  });
  std::set<std::size_t> chosen(all.begin(), all.begin() + ssize(most / 2));
  const std::size_t spread = most - most / 2;
  for (std::size_t i = 0; i < spread; ++i) chosen.insert(i * segments / spread);
  return {chosen.begin(), chosen.end()};
}

std::string cut(const std::string& text, std::int64_t characters) {
  std::size_t end = 0;
  for (std::int64_t i = 0; end < text.size(); ++i) {
    if (i == characters) return text.substr(0, end) + " \xe2\x80\xa6";
    end += text::utf8_unit(text, end).length;
  }
  return text;
}

Json texts_of(const Corpus& corpus, const std::vector<std::size_t>& rows,
              std::int64_t source_characters) {
  Json all = Json::array();
  for (const std::size_t row : rows) {
    Json systems = Json::array();
    for (const Texts& system : corpus.systems) systems.push_back(system[row]);
    Json one{{"id", row}, {"references", corpus.references[row]}, {"systems", systems}};
    if (!corpus.sources.empty()) one["source"] = cut(corpus.sources[row], source_characters);
    all.push_back(std::move(one));
  }
  return all;
}

// A best hypothesis of fairseq's output: its tokens and what they scored.
struct Scored {
  double score = 0;
  std::string tokens;
};

std::map<std::string, Scored> hypotheses_of(const std::string& path) {
  std::map<std::string, Scored> found;
  eval::LineSource lines(path);
  for (std::string_view line; lines.next(line);) {
    if (!line.starts_with("H-")) continue;
    const std::size_t first = line.find('\t');
    const std::size_t second = first == std::string_view::npos ? first : line.find('\t', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string score(line.substr(first + 1, second - first - 1));
    found.try_emplace(
        std::string(line.substr(0, first)),
        Scored{std::strtod(score.c_str(), nullptr), std::string(line.substr(second))});
  }
  return found;
}

// Whether each further system says what the first one, stock fairseq, says.
Json parity_of(const Corpus& corpus, const ScoreOptions& options) {
  Json all = Json::array();
  const auto stock = hypotheses_of(options.systems.front());
  for (std::size_t s = 1; s < corpus.systems.size(); ++s) {
    std::int64_t equal = 0;
    Json different = Json::array();
    for (std::size_t i = 0; i < corpus.size(); ++i) {
      if (corpus.systems[s][i] == corpus.systems[0][i]) {
        ++equal;
      } else {
        different.push_back(i);
      }
    }
    Json one{{"segments", corpus.size()}, {"equal", equal}, {"different", different}};
    const auto mine = hypotheses_of(options.systems[s]);
    std::int64_t equal_tokens = 0;
    double largest = 0;
    for (const auto& [id, hypothesis] : mine) {
      const auto other = stock.find(id);
      if (other == stock.end() || other->second.tokens != hypothesis.tokens) continue;
      ++equal_tokens;
      largest = std::max(largest, std::fabs(other->second.score - hypothesis.score));
    }
    if (!mine.empty() && !stock.empty()) {
      one["equal_tokens"] = equal_tokens;
      one["score_difference"] = largest;
    }
    all.push_back(std::move(one));
  }
  return all;
}

Json statistics_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  ELBEAM_CHECK(file, ErrorCode::kIo, "cannot open ", quoted(path));
  Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  ELBEAM_CHECK(json.is_object(), ErrorCode::kFormat, path,
               " is not what elbeam-generate --stats writes: a JSON object");
  return json;
}

}  // namespace

Json report_payload(const ReportOptions& options) {
  ScoreOptions score = options.score;
  score.segments = true;
  if (score.resampling == ScoreOptions::Resampling::kNone) {
    score.resampling = score.systems.size() > 1 ? ScoreOptions::Resampling::kPairedBootstrap
                                                : ScoreOptions::Resampling::kConfidence;
  }
  Json systems = score_systems(score);
  for (std::size_t s = 0; s < options.names.size(); ++s) systems[s]["system"] = options.names[s];
  Json payload{{"title", options.title}, {"version", version()}};
  payload["scores"] = take_segment_scores(systems);
  const Corpus corpus(score);
  const auto rows = choose_rows(payload["scores"], corpus.size(), usize(options.rows));
  payload["systems"] = std::move(systems);
  payload["segments"] = corpus.size();
  payload["lengths"] = lengths_of(corpus);
  payload["rows"] = texts_of(corpus, rows, options.source_characters);
  payload["statistics"] = Json::array();
  for (const std::string& path : options.stats) {
    payload["statistics"].push_back(statistics_of(path));
  }
  payload["parity"] = options.stock ? parity_of(corpus, score) : Json();
  return payload;
}

}  // namespace elbeam::cli
