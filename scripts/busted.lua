-- busted, in whichever interpreter runs this file; the launcher it is packaged with names one of its own.
require "busted.runner" { standalone = false }
