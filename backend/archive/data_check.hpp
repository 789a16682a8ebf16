// When a file's numbers are compared with their checksums.
#pragma once

namespace elbeam::archive {

// kLater: those of a zip file's tensors, its entries below data/, by whoever reads them. Everything
// else is checked as the file is opened.
enum class DataCheck { kNow, kLater };

}  // namespace elbeam::archive
