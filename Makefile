# `make` builds build/<lua>/lgemini/core.so; `make demo` and `make test` install what they need first.
#
# Yours to set: CC CFLAGS CPPFLAGS LDFLAGS, LUA (the interpreter to build for and to run the specs with), LUA_INCDIR
# (else pkg-config finds its headers), PKG_CONFIG, and for install DESTDIR PREFIX INST_LUADIR INST_LIBDIR
# INST_INCDIR INST_STATICDIR COMPILED.
# Every path is relative: the name of this directory may hold spaces.

CFLAGS ?= -O2
LIBFLAG ?= -shared
PKG_CONFIG ?= pkg-config
LUA ?= lua5.4

# Which Lua that is, in its own words: lua5.1 to lua5.4, or luajit. It names the folder of what is built for it.
LUA_NAME := $(or $(shell '$(LUA)' scripts/name.lua 2>/dev/null),$(notdir $(LUA)))
LUA_VERSION := $(patsubst lua%,%,$(LUA_NAME:luajit=lua5.1))
BUILD := build/$(LUA_NAME)

PREFIX ?= /usr/local
INST_INCDIR ?= $(PREFIX)/include
INST_STATICDIR ?= $(PREFIX)/lib
INST_LUADIR ?= $(PREFIX)/share/lua/$(LUA_VERSION)
INST_LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_VERSION)

# What pkg-config says. Where it, or what it looks for, is not there, that shows once: when something is compiled.
package = $(shell $(PKG_CONFIG) $(1) 2>/dev/null)

# The package of a Lua: under the names that systems give it, and as plain `lua` where that is of the same version.
LUA_PC := $(firstword $(foreach name,$(LUA_NAME) $(LUA_NAME:lua%=lua-%) $(subst .,,$(LUA_NAME)), \
    $(if $(call package,--modversion $(name)),$(name))) \
    $(if $(filter $(LUA_NAME:lua%=%).%,$(call package,--modversion lua)),lua))
ifdef LUA_INCDIR
LUA_CFLAGS = -I"$(LUA_INCDIR)"
else
LUA_CFLAGS := $(call package,--cflags $(LUA_PC))
endif
LUA_LIBS := $(call package,--libs $(LUA_PC))
LIB_CFLAGS := $(call package,--cflags libcurl libcrypto)
# libcrypto first: nothing has more names to look up when it is loaded, and they are looked for in this order.
LIBS := $(call package,--libs libcrypto libcurl) -lm

SOURCES := $(sort $(wildcard src/*/*.c))
HEADERS := $(sort $(wildcard src/*.h src/*/*.h))
MODULES := $(sort $(patsubst lua/%,%,$(filter-out %.meta.lua,$(wildcard lua/lgemini/*.lua))))
C_TESTS := $(patsubst spec/c/%.c,build/c/%,$(sort $(wildcard spec/c/test_*.c)))

WARN = -Wall -Wextra -Wpedantic
STRICT = $(WARN) -Werror -Wshadow -Wundef -Wvla -Wpointer-arith -Wwrite-strings -Wstrict-prototypes \
    -Wmissing-prototypes
DIALECT = -std=c11 -fPIC -fvisibility=hidden -Isrc $(LUA_CFLAGS) $(LIB_CFLAGS)
COMPILE = $(CC) $(DIALECT) $(WARN) $(CPPFLAGS) $(CFLAGS)

# A resolver thread of libcurl may outlive the last handle, so the library stays mapped (nodelete).
ifneq ($(shell uname -s),Darwin)
NODELETE = -Wl,-z,nodelete
endif

OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)

all: $(BUILD)/lgemini/core.so

$(BUILD)/lgemini/core.so: $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(LIBFLAG) $(NODELETE) $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS)

$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -MMD -MP -c -o $@ $<

# Debian's name for the headers of a Lua.
LUA_DEV = lib$(patsubst luajit,luajit-5.1,$(LUA_NAME:lua5.1=lua5.1-0))-dev

# Changes when the compiler or its flags do, so that one build never mixes two.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@missing() { echo "no $$1: $${2-run scripts/setup build}" >&2; exit 1; }; \
	$(PKG_CONFIG) --version >/dev/null 2>&1 || missing pkg-config; \
	$(PKG_CONFIG) --exists 'libcurl >= 7.88' || missing 'libcurl of 7.88 or later with its headers'; \
	$(PKG_CONFIG) --exists 'libcrypto >= 3' || missing 'OpenSSL of 3 or later with its headers'; \
	test -n '$(LUA_INCDIR)$(LUA_PC)' || \
	    missing 'headers of $(LUA_NAME)' 'install them (on Debian: $(LUA_DEV)), or set LUA_INCDIR'
	@echo '$(COMPILE) $(LIBFLAG) $(LDFLAGS)' | cmp -s - $@ || echo '$(COMPILE) $(LIBFLAG) $(LDFLAGS)' >$@

# For hosts in C: the core with the Lua files in it; src/lgemini.h says how to use it.

$(BUILD)/embedded.c: scripts/bundle.lua $(MODULES:%=lua/%)
	@mkdir -p $(@D)
	@'$(LUA)' scripts/bundle.lua embed $@ $(MODULES:%=lua/%)

$(BUILD)/obj/embedded.o: $(BUILD)/embedded.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

STATIC_OBJECTS = $(OBJECTS) $(BUILD)/obj/lgemini.o $(BUILD)/obj/embedded.o

$(BUILD)/liblgemini.a: $(STATIC_OBJECTS)
	$(AR) rcs $@ $(STATIC_OBJECTS)

static: $(BUILD)/liblgemini.a

# The example of a host: built against the library as a user would, for the specs also under sanitizers.

$(BUILD)/embed: examples/embed/host.c src/lgemini.h $(BUILD)/liblgemini.a
	$(CC) -std=c11 $(WARN) -Isrc $(LUA_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/liblgemini.a \
	    $(LIBS) $(LUA_LIBS) -lpthread

EMBED_SOURCES = $(SOURCES) src/lgemini.c examples/embed/host.c

build/san/embed: $(EMBED_SOURCES:%.c=build/san/%.o) $(BUILD)/obj/embedded.o
	$(CC) $(SANITIZE) -rdynamic -o $@ $^ $(LIBS) $(LUA_LIBS) -lpthread

TSAN = -g -O1 -fsanitize=thread

build/tsan/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(DIALECT) $(STRICT) $(TSAN) -MMD -MP -c -o $@ $<

build/tsan/embed: $(EMBED_SOURCES:%.c=build/tsan/%.o) $(BUILD)/obj/embedded.o
	$(CC) $(TSAN) -rdynamic -o $@ $^ $(LIBS) $(LUA_LIBS) -lpthread

.PHONY: static

# One file of C with its header and one of Lua, for projects that build everything themselves. The line that builds the
# module is printed, and stands in the README.

DIST_SOURCES = $(foreach part,core net binding,$(sort $(wildcard src/$(part)/*.c))) src/lgemini.c src/not_embedded.c
DIST_HEADERS = $(if $(LUA_INCDIR),-I"$(LUA_INCDIR)",$$(pkg-config --cflags $(or $(LUA_PC),$(LUA_NAME))))
DIST_LINE = cc -O2 -shared -fPIC $(DIST_HEADERS) dist/lgemini.c -o lgemini.so -lcurl -lcrypto -lm $(NODELETE)

dist/lgemini.c: scripts/bundle.lua $(DIST_SOURCES) $(HEADERS)
	@mkdir -p $(@D)
	@'$(LUA)' scripts/bundle.lua c $@ src/lgemini.h $(DIST_SOURCES)

dist/lgemini.h: src/lgemini.h
	@mkdir -p $(@D)
	@cp $< $@

dist/lgemini.lua: scripts/bundle.lua $(MODULES:%=lua/%)
	@mkdir -p $(@D)
	@'$(LUA)' scripts/bundle.lua lua $@ $(MODULES:%=lua/%)

amalgamation: dist/lgemini.c dist/lgemini.h dist/lgemini.lua
	@echo 'lgemini.so beside lgemini.lua is made by'
	@echo '    $(DIST_LINE)'

.PHONY: amalgamation

# The test build: everything under ASan and UBSan, with flags of its own. Like fuzzing and chaos it is made for Lua 5.4
# alone, whose allocator and collector it steers.

SANITIZE = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_OBJECTS := $(SOURCES:src/%.c=build/san/src/%.o)
SAN_LIBRARY := $(filter-out build/san/src/binding/%,$(SAN_OBJECTS))

build/san/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(DIALECT) $(STRICT) $(SANITIZE) -MMD -MP -c -o $@ $<

# The interpreter of the sanitizer suites; -rdynamic names functions in leak reports.
build/host: build/san/spec/c/host.o $(SAN_OBJECTS)
	$(CC) $(SANITIZE) -rdynamic -o $@ $^ $(LIBS) $(LUA_LIBS)

build/c/%: build/san/spec/c/%.o $(SAN_LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)

# Opening it needs Lua and the binding.
build/c/test_open: build/san/spec/c/test_open.o build/san/src/lgemini.o $(BUILD)/obj/embedded.o $(SAN_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(SANITIZE) -Wl,--wrap=curl_global_init -o $@ $^ $(LIBS) $(LUA_LIBS)

tests: all $(BUILD)/embed
ifeq ($(LUA_NAME),lua5.4)
tests: build/host $(C_TESTS) build/san/embed build/tsan/embed
endif

# Nothing undefined but Lua's names: linked against Lua, the module must be complete.
complete: $(BUILD)/complete.so
$(BUILD)/complete.so: $(OBJECTS)
	$(CC) $(LIBFLAG) -Wl,-z,defs -o $@ $(OBJECTS) $(LIBS) $(LUA_LIBS)

# Each source with warnings as errors, each header on its own: `make warnings CC=clang`.
warnings:
	@for file in $(SOURCES) $(wildcard src/*.c spec/c/*.c bench/*.c examples/embed/*.c); do \
	    $(CC) $(DIALECT) $(STRICT) -O2 -c -o /dev/null "$$file" || exit 1; \
	done
	@for file in $(HEADERS); do \
	    echo "#include \"$$file\"" | $(CC) $(DIALECT) $(STRICT) -I. -x c -fsyntax-only - || exit 1; \
	done

# Fuzzing, with clang's libFuzzer: `make fuzz TIME=60` runs each target that many seconds, JOBS of them side by side,
# `make fuzz-corpus` over the inputs that are checked in.

TIME ?= 60
FUZZ_CC ?= clang
FUZZ_OBJECTS := $(SOURCES:src/%.c=build/fuzz/obj/src/%.o)
FUZZERS := $(patsubst spec/%.c,build/%,$(sort $(wildcard spec/fuzz/fuzz_*.c)))

build/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) $(DIALECT) $(STRICT) $(SANITIZE) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

build/fuzz/fuzz_%: build/fuzz/obj/spec/fuzz/fuzz_%.o $(FUZZ_OBJECTS)
	$(FUZZ_CC) $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(LIBS) $(LUA_LIBS)

fuzz-build: $(FUZZERS)

fuzz: fuzz-build
	@sh spec/fuzz/run $(TIME)

fuzz-corpus: fuzz-build
	@sh spec/fuzz/run

-include $(FUZZ_OBJECTS:.o=.d) $(FUZZERS:build/fuzz/%=build/fuzz/obj/spec/fuzz/%.d)
.PHONY: fuzz fuzz-build fuzz-corpus

# Chaos: `make chaos SEED=1 RUNS=300`, and one operation again with OP=17. `LUA=build/host` puts the client under the
# sanitizers. Linux only; see spec/chaos/README.md.

SEED ?= 1
RUNS ?= 300
OP ?=

build/chaos/wire.so: spec/chaos/wire.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(DIALECT) $(STRICT) $(CPPFLAGS) $(CFLAGS) $(LIBFLAG) $(LDFLAGS) -o $@ spec/chaos/wire.c

ifeq ($(shell uname -s) $(LUA_NAME),Linux lua5.4)
tests: build/chaos/wire.so
endif

chaos: all build/chaos/wire.so
	@eval "$$(sh scripts/env)" && $${SCRIPTED_LUA:-lua5.4} spec/chaos/driver.lua --lua '$(LUA)' --seed '$(SEED)' \
	    --runs '$(RUNS)' $(OP:%=--op '%')

.PHONY: chaos
# End of chaos.

# The benchmark: `make bench`, one of its aims alone with AIM=5, more rounds with ROUNDS=15, and `make bench-peers` with
# other clients beside it. Linux only; see bench/README.md.

BENCH_LIBS = $(shell $(PKG_CONFIG) --libs libnghttp2 libssl libcrypto)
BENCH_COMPILE = $(CC) -std=c11 $(STRICT) $(LIB_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
BENCH_CORE := $(filter $(BUILD)/obj/core/%,$(OBJECTS))
BENCH_PROGRAMS = $(addprefix build/bench/,server limit base64 measure)

build/bench/server: $(wildcard bench/server*.[ch]) bench/common.c bench/common.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(BENCH_COMPILE) -o $@ $(filter %.c,$^) $(BENCH_LIBS)

build/bench/limit: $(wildcard bench/limit*.[ch]) bench/common.c bench/common.h $(BENCH_CORE)
	@mkdir -p $(@D)
	$(BENCH_COMPILE) -o $@ $(filter %.c %.o,$^) $(LIBS)

build/bench/base64 build/bench/measure: build/bench/%: bench/%.c bench/common.c bench/common.h $(BENCH_CORE)
	@mkdir -p $(@D)
	$(BENCH_COMPILE) -o $@ $(filter %.c,$^) $(BENCH_CORE) $(LIBS)

# What is measured is the library as it is installed.
BENCH_LIBRARY = build/bench/library

bench-library:
	@$(MAKE) --no-print-directory -s install-module LUA=lua5.4 DESTDIR= INST_LUADIR=$(BENCH_LIBRARY) \
	    INST_LIBDIR=$(BENCH_LIBRARY)

bench-programs: $(BENCH_PROGRAMS) bench-library

BENCH_SDK = build/bench/js/node_modules/@google/genai/package.json

$(BENCH_SDK): | bench-setup
	@mkdir -p build/bench/js
	npm install --silent --no-audit --no-fund --prefix build/bench/js @google/genai@3.3.0

bench-setup:
	@sh scripts/setup $(or $(filter bench-peers,$(MAKECMDGOALS)),bench)

BENCH_RUN = $(MAKE) --no-print-directory -s bench-programs && eval "$$(sh scripts/env)" && lua5.4 bench/run.lua

# The set-up may bring what pkg-config says, so what is built comes after it, in a make of its own.
bench: bench-setup
	@$(BENCH_RUN)

bench-peers: bench-setup $(BENCH_SDK)
	@$(BENCH_RUN) -peers

# How long a frame is held up: bench/frames.lua.
bench-frames: bench-setup
	@$(MAKE) --no-print-directory -s bench-programs
	@eval "$$(sh scripts/env)" && lua5.4 bench/frames.lua

.PHONY: bench bench-peers bench-programs bench-library bench-setup bench-frames
# End of the benchmark.

# What is written out of the sources: the API reference, and types for editors.
docs:
	@lua5.4 scripts/reference.lua
.PHONY: docs

demo:
	@sh scripts/setup demo
	@$(MAKE) --no-print-directory -s
	@LUA='$(LUA)' sh scripts/demo

test:
	@sh scripts/setup test
	@MAKE='$(MAKE)' LUA='$(LUA)' sh scripts/test

check:
	@MAKE='$(MAKE)' LUA='$(LUA)' sh scripts/test lint c specs

check-asan:
	@MAKE='$(MAKE)' LUA='$(LUA)' sh scripts/test c san

check-oom check-gc check-valgrind check-clang check-rock check-amalgamation check-runtimes:
	@MAKE='$(MAKE)' LUA='$(LUA)' sh scripts/test $(@:check-%=%)

env:
	@LUA='$(LUA)' sh scripts/env

# What luarocks installs. The Lua files are compiled by $(LUA), as the core is built for it; with COMPILED=0 they stay
# sources. Lua 5.1 and LuaJIT share their folders, and neither loads what the other has compiled.
COMPILED ?= $(if $(filter lua5.1 luajit,$(LUA_NAME)),0,1)

# On Linux the core has a door before it, which has the libraries behind it bound late and brings the Lua files of a
# first call: see src/door.c.
ifeq ($(shell uname -s),Linux)
DOOR = $(BUILD)/door-$(COMPILED).so
endif

$(BUILD)/first.c: scripts/bundle.lua scripts/compiled.lua scripts/together.lua $(MODULES:%=lua/%)
	@mkdir -p $(@D)
	@'$(LUA)' scripts/bundle.lua first $@ $(MODULES:%=lua/%)

FIRST = $(if $(filter 1,$(COMPILED)),$(BUILD)/first.c,src/not_embedded.c)

$(BUILD)/door-$(COMPILED).so: src/door.c src/preload.h $(FIRST) $(BUILD)/whole.so
	gnutls=$$(ldd $(BUILD)/whole.so | sed -n 's/^[[:space:]]*\(libgnutls[^ ]*\) =>.*/\1/p') && \
	$(COMPILE) $${gnutls:+-DBEFORE="\"$$gnutls\""} $(LIBFLAG) $(LDFLAGS) -o $@ $< $(FIRST) -ldl

$(BUILD)/whole.so: $(OBJECTS)
	$(CC) $(LIBFLAG) $(NODELETE) -Wl,-z,now $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS)

install-module: all $(DOOR) $(if $(DOOR),$(BUILD)/whole.so)
	install -d "$(DESTDIR)$(INST_LUADIR)/lgemini" "$(DESTDIR)$(INST_LIBDIR)/lgemini"
	install -m 644 $(MODULES:%=lua/%) "$(DESTDIR)$(INST_LUADIR)/lgemini"
	$(if $(filter 1,$(COMPILED)),'$(LUA)' scripts/compile.lua "$(DESTDIR)$(INST_LUADIR)/lgemini" $(MODULES:%=lua/%))
	install -m 755 $(or $(DOOR),$(BUILD)/lgemini/core.so) "$(DESTDIR)$(INST_LIBDIR)/lgemini/core.so"
	$(if $(DOOR),install -m 755 $(BUILD)/whole.so "$(DESTDIR)$(INST_LIBDIR)/lgemini")

install: install-module static
	install -d "$(DESTDIR)$(INST_INCDIR)" "$(DESTDIR)$(INST_STATICDIR)"
	install -m 644 src/lgemini.h "$(DESTDIR)$(INST_INCDIR)"
	install -m 644 $(BUILD)/liblgemini.a "$(DESTDIR)$(INST_STATICDIR)"

# With the same variables; what others have put there stays.
uninstall:
	rm -f $(MODULES:%="$(DESTDIR)$(INST_LUADIR)/%") "$(DESTDIR)$(INST_LIBDIR)/lgemini/core.so" \
	    "$(DESTDIR)$(INST_LIBDIR)/lgemini/whole.so" "$(DESTDIR)$(INST_INCDIR)/lgemini.h" \
	    "$(DESTDIR)$(INST_STATICDIR)/liblgemini.a"
	@rmdir "$(DESTDIR)$(INST_LUADIR)/lgemini" "$(DESTDIR)$(INST_LIBDIR)/lgemini" 2>/dev/null || true

clean:
	rm -rf build dist

FORCE:

.PHONY: all tests complete warnings demo test check check-asan check-oom check-gc check-valgrind check-clang check-rock \
    check-amalgamation check-runtimes env install install-module uninstall clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

-include $(OBJECTS:.o=.d) $(BUILD)/obj/lgemini.d $(SAN_OBJECTS:.o=.d) $(wildcard build/san/spec/c/*.d)
-include $(EMBED_SOURCES:%.c=build/tsan/%.d) build/san/src/lgemini.d build/san/examples/embed/host.d
