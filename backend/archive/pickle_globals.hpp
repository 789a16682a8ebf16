// Which names a pickle may mention. None of them is ever called or imported.
#pragma once

#include <string_view>

namespace elbeam::archive {

// True for what fairseq checkpoints and torch's own files refer to: tensors and storages,
// containers, argparse.Namespace, OmegaConf nodes, numpy scalars, fairseq's meters and enums,
// scripted classes.
bool is_inert_global(std::string_view module, std::string_view name) noexcept;

// "module name" of a class whose instances are read as dictionaries.
bool is_dict_global(std::string_view global) noexcept;

}  // namespace elbeam::archive
