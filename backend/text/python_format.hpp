// Numbers as Python prints them: fairseq's output lines are made of these.
#pragma once

#include <cstdint>
#include <string>

namespace elbeam::text {

// repr(value): the shortest digits that read back as the same double; ".0" after an integer; an
// exponent of at least two digits below 1e-4 and from 1e16 on; inf, -inf, nan.
std::string python_repr(double value);

// "{:.<digits>f}".format(value): the exact decimal value rounded half to even, "-0.0000" included.
// 0 <= digits <= 100.
std::string python_fixed(double value, int digits);

// "{:.<digits>}".format(value): that many significant digits, without zeros at the end, but one
// digit after the point; an exponent below 1e-4 and where the number has more digits before the
// point. 1 <= digits <= 17; value is finite.
std::string python_general(double value, int digits);

// "{:,}".format(value).
std::string python_thousands(std::int64_t value);

}  // namespace elbeam::text
