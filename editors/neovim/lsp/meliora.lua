-- Meliora as the language server of Neovim 0.11 or newer: put this file into the folder `lsp` of your configuration
-- (~/.config/nvim/lsp/meliora.lua) and the line `vim.lsp.enable('meliora')` into your init.lua.
return {
  cmd = { 'meliora' },
  filetypes = {
    'rust',
    'typescript',
    'typescriptreact',
    'javascript',
    'javascriptreact',
    'python',
    'go',
  },
  -- The first name that is found in a parent folder wins, so that a package belongs to its Cargo workspace.
  root_markers = { 'Cargo.lock', 'Cargo.toml', 'tsconfig.json', 'package.json', 'pyproject.toml', 'go.mod', '.git' },
}
