// Command lines read as Python's argparse (3.11, allow_abbrev=False) reads them, because fairseq's
// users rely on its habits: `--flag=value`, negative numbers as values, the positional anywhere,
// the last occurrence wins, an optional value is taken greedily. Boost.Program_options, which
// writes the help text, has other habits in each of these points.
#pragma once

#include "fairseq_bridge/flag_table.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

// The options of one command line. Getters take the long name; asking for a name that the parser
// was not given, or for another kind than the table says, is Error(kInternal).
class ParsedFlags {
 public:
  bool given(std::string_view name) const;  // on the command line
  bool flag(std::string_view name) const { return given(name); }
  // Value given, else the default of the table; nullopt where that is None.
  std::optional<std::int64_t> integer(std::string_view name) const;
  std::optional<double> real(std::string_view name) const;
  std::optional<std::string> text(std::string_view name) const;

  const std::string& data() const { return data_; }  // the positional; empty where absent
  const std::vector<std::string>& unrecognized() const { return unrecognized_; }
  // Every option of the command line in the order of its last occurrence's name.
  const std::map<std::string, std::string, std::less<>>& values() const { return values_; }
  const FlagSpec& spec(std::string_view name) const;

 private:
  friend ParsedFlags parse_arguments(const std::vector<std::string>&,
                                     const std::vector<const FlagSpec*>&);
  std::map<std::string_view, const FlagSpec*, std::less<>> specs_;  // by long name
  std::map<std::string, std::string, std::less<>> values_;          // by long name
  std::vector<std::string> unrecognized_;
  std::string data_;
};

// Reads `arguments` with one positional, `data`. What no option of `specs` explains is collected in
// unrecognized(). Throws Error(kUsage) with argparse's wording: "argument --beam: invalid int
// value: 'x'", "... expected one argument", "... invalid choice: ...", "... ignored explicit
// argument 'x'".
ParsedFlags parse_arguments(const std::vector<std::string>& arguments,
                            const std::vector<const FlagSpec*>& specs);

// What Python's float() accepts: blanks around, a sign, underscores between digits, "inf", "nan".
// nullopt where it raises ValueError. (For int() see text::parse_int.)
std::optional<double> python_float(std::string_view text);

}  // namespace elbeam::fairseq
