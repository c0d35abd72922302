---@meta lgemini.core

--- What the C core offers to the Lua layer, for editors and checkers; this file is never run and not installed. Users
-- have `require "lgemini"`: the core may change any day.
--
-- Offsets, sizes and counts are bytes, whole numbers from 0 to 2^53. Times are seconds; an instant is a number of
-- core.now(). What is wrong with an argument raises and names it. What the world does wrong returns nil and a failure.
-- Objects are closed by :close(), as often as one likes, by `<close>`, or by the collector. Methods of a closed one
-- raise "attempt to use a closed <type>". Nothing here is for more than one thread.
-- luacheck: ignore 241

---@class lgemini.core
---@field _VERSION string
local core = {}

---@class lgemini.core.Failure  a plain table; the Lua layer makes an lgemini.Error of it
---@field kind "invalid"|"io"|"network"|"tls"|"timeout"|"cancelled"|"closed"|"protocol"|"limit"|"incomplete"
---@field message string       one line, for people; it may hold the URL's host, and a path
---@field clock string|nil     of a timeout: "connect", "first_byte", "idle" or "total"
---@field offset integer|nil   where in the input, from 0

--- The time of a clock that runs evenly, from anywhere.
---@return number seconds
function core.now() end

--- Yields the value, where the coroutine that runs is that one, with no C function in between; else false. Lua before
--- 5.3 cannot tell the latter, and raises.
---@param thread thread
---@param value any
---@return false|nil
function core.yield(thread, value) end

--- What is open in this Lua state: for leak checks.
---@return table<string, integer> alive  body, exchange, loop; those that own nothing are not counted
function core.alive() end

---@class lgemini.core.FileInfo
---@field size integer    bytes
---@field mtime number    seconds since 1970
---@field inode integer
---@field device integer

--- The identity of a regular file that can be read.
---@param path string  without NUL
---@return lgemini.core.FileInfo|nil info
---@return lgemini.core.Failure|nil err  "io": missing, a directory or another thing that is no file, unreadable
function core.file_info(path) end

--- Puts bytes in place of a file, or makes it: in one step, on disk, for its owner alone (mode 0600).
---@param path string  without NUL
---@param bytes string
---@return true|nil
---@return lgemini.core.Failure|nil err  "io"
function core.replace_file(path, bytes) end

--- Removes the files of a directory whose names begin so and that nobody wrote to for that long. What cannot be removed
--- stays.
---@param directory string  without NUL
---@param prefix string     without NUL
---@param seconds number
function core.remove_old(directory, prefix, seconds) end

--- What is in a directory, but for names that begin with a dot.
---@param directory string  without NUL
---@return string[]|nil names  in no order
---@return lgemini.core.Failure|nil err  "io"
function core.file_names(directory) end

--- Makes a directory, unless it is there. Its parent must be.
---@param path string  without NUL
---@return true|nil
---@return lgemini.core.Failure|nil err  "io"
function core.make_directory(path) end

--- Where this libcurl looks for certificates: a hashed directory, else a bundle. Reads the directory: ask once.
---@return string|nil ca_path
---@return string|nil ca_file  nil where there is a ca_path
function core.trust() end

-- Base64 ---------------------------------------------------------------------------------------

---@class lgemini.core.base64
core.base64 = {}

--- Standard alphabet, padded, no line breaks.
---@param bytes string
---@return string text
function core.base64.encode(bytes) end

--- Takes the standard and the URL-safe alphabet, padded or not, and nothing else: no white space.
---@param text string
---@return string|nil bytes
---@return lgemini.core.Failure|nil err  "invalid", with the offset
function core.base64.decode(text) end

---@class lgemini.core.Encoder
local Encoder = {}

---@return lgemini.core.Encoder
function core.base64.encoder() end

--- The text of the bytes so far, but for up to two that wait for more.
---@param bytes string
---@return string text
function Encoder:feed(bytes) end

--- The rest, padded. The encoder starts afresh.
---@return string text
function Encoder:finish() end

--- There is nothing to close.
function Encoder:close() end

---@class lgemini.core.Decoder
local Decoder = {}

---@return lgemini.core.Decoder
function core.base64.decoder() end

--- The bytes of the text so far.
---@param text string
---@return string|nil bytes
---@return lgemini.core.Failure|nil err  "invalid", with the offset in all that was fed; from then on always
function Decoder:feed(text) end

--- The rest. Nothing is fed after it.
---@return string|nil bytes
---@return lgemini.core.Failure|nil err  "invalid": ended inside a group
function Decoder:finish() end

--- There is nothing to close.
function Decoder:close() end

-- Request bodies -------------------------------------------------------------------------------

--- Segments in the order in which they were added; their lengths are known from the start. Bytes are read while they
-- are sent, so a file must still be what it was then. A body may be sent many times, by several exchanges at once; once
-- it is, nothing more is added.
---@class lgemini.core.Body
local Body = {}

core.body = {}

---@return lgemini.core.Body
function core.body.new() end

--- A new body with its first segment.
---@param bytes string  as for add
---@return lgemini.core.Body|nil
---@return lgemini.core.Failure|nil err  as add's
function core.body.of(bytes) end

--- The bytes as they are; kept, not copied.
---@param bytes string  not a number
---@return true|nil
---@return lgemini.core.Failure|nil err  "limit": memory, or more than 2^62 bytes in all; so for all that add
function Body:add(bytes) end

--- Base64 of the bytes, made while it is sent.
---@param bytes string  not a number
---@return true|nil
---@return lgemini.core.Failure|nil err
function Body:add_base64(bytes) end

--- A regular file as it is.
---@param path string  without NUL
---@return integer|nil size  of the file
---@return lgemini.core.Failure|nil err  "io", as file_info has it
function Body:add_file(path) end

--- Base64 of a regular file.
---@param path string  without NUL
---@return integer|nil size  of the file, not of its base64
---@return lgemini.core.Failure|nil err  "io", as file_info has it
function Body:add_base64_file(path) end

--- An open file of the io library, from its beginning. What was written to it is flushed; its position stays, and it
-- may be closed at once.
---@param handle file*  open for reading; a closed one raises
---@return integer|nil size
---@return lgemini.core.Failure|nil err  "io": a pipe, or not open for reading
function Body:add_handle(handle) end

--- Bytes that the program brings when exchange:wants() asks for them.
---@param size integer
---@return true|nil
---@return lgemini.core.Failure|nil err
function Body:add_reader(size) end

---@return integer bytes
function Body:length() end

--- Bytes as they would be sent: for tests and digests.
---@param offset integer  at most the length
---@param n integer       fewer come at the end, and in front of a reader's bytes
---@return string|nil bytes
---@return lgemini.core.Failure|nil err  "io": a file that is not what it was; "invalid": a reader's bytes
function Body:read(offset, n) end

--- Lets go of strings and files. An exchange that still sends the body fails.
function Body:close() end

-- Answers --------------------------------------------------------------------------------------

core.answer = {}

---@class lgemini.core.Shape  a type of answers
---@field fields string  in the words of schema.lua
---@field role "response"|"candidate"|"content"|"part"|nil  of an answer that is made of texts
---@field media boolean|nil     its bytes may go to a sink
---@field echoed boolean|nil    what it cannot show as it came is settled, here and below
---@field metatable table|nil   of its objects
---@field apart table<string, boolean>|nil  fields with which a chunk says more than its text
---@field ends table<string, boolean>|nil   fields with which it says that the answer is whole

---@class lgemini.core.Shapes

--- What the decoder knows of types. They are asked for when it first meets them.
---@param setup { null: (fun(): any), array: (fun(): table), types: (fun(name: string): lgemini.core.Shape),
--- settle: function }  null and the metatable of arrays in user data, each asked for once; settle(object, type, odd,
--- echoed) is called at the end of an object where odd (name on the wire -> value) is not empty: members that no type
--- knows and, where they may be sent back, those of another JSON type than the API gives, which are not shown, or shown
--- as something else
---@return lgemini.core.Shapes
function core.answer.shapes(setup) end

---@class lgemini.core.Answer
local Answer = {}

---@param shapes lgemini.core.Shapes
---@param type string|nil     nil: all is user data
---@param most integer        bytes of an event, or of the body
---@param max_depth integer   levels of arrays and objects within each other
---@param events boolean      a stream of events; else one body of JSON
---@return lgemini.core.Answer
function core.answer.new(shapes, type, most, max_depth, events) end

--- From now on it takes what comes to the exchange, which nobody else must read. It ends with the exchange. A table
--- that stands for one is asked for more by its read().
---@param exchange lgemini.core.Exchange|{ read: fun(self: table): string }
function Answer:attach(exchange) end

--- Gives bytes to one that is not attached, when all earlier ones have been taken.
---@param bytes string  kept until they are read; not a number
function Answer:feed(bytes) end

--- From now on the bytes of media, of shapes that say so, are not shown in the answer but handed to a function.
---@param fn fun(object: table, bytes: string, last: boolean): string|true|nil, any  gets the object as far as it came.
--- nil, message: the answer fails ("io"). At last: a key and a value for the object in place of the bytes
function Answer:sink(fn) end

---@class lgemini.core.AnswerFailure: lgemini.core.Failure
---@field head string  how the text began, at most 512 bytes

--- The next event's value; of a body nil until it is finished.
---@param texts boolean|nil  an event that says nothing but a text is that text: the first of them, those like the one
--- before but for text and counts, and one behind these which says that it is the last
---@param most integer|nil   in a step with a budget: bytes of a body that are taken at once; and a string of 256 KiB
--- and more is made by a call of its own, the next
---@return any|nil value  nil: more bytes are needed
---@return boolean|lgemini.core.AnswerFailure|nil more  true: it is one of these texts, or a value like the one before,
--- and its text was kept. With nil: true where `most` bytes of a body were taken and there are more, or a large string
--- comes next; false where nothing more comes by itself, since no exchange runs; or "protocol" (no JSON), "invalid" (no
--- base64), "limit", "incomplete"
---@return boolean|nil drained  with a value and true: nothing is left to be read until the exchange tells of more; with
--- nil and true: a large string comes next
---@return boolean|nil ends  with a value and true: it says that it is the last
function Answer:next(texts, most) end

--- The text of the next event, where that is here, is like the one before and has a text, and does not say that it is
--- the last; and where nothing was closed, the loop of the exchange included. Else nil, and next goes on there.
---@return string|nil text
function Answer:ahead() end

--- After the last byte, until nothing comes: what is left.
---@return any|nil value
---@return true|lgemini.core.AnswerFailure|nil more  as of next
---@return "event"|"tail"|"body"|nil what  an event that no blank line closed, bare text, the body
function Answer:finish() end

--- Bytes of text that are kept, from now on, of events that are like the one before; 0 until it is said.
---@param room integer
function Answer:keep(room) end

--- Takes what was kept of these events.
---@return string[]|nil texts  all their texts, in pieces of any size; nil where there was no such event
---@return string[]|nil events  the last one of each form that they had, JSON
---@return boolean|nil over  there was no room for all texts: the first that it was too little for, and all behind it,
--- are left out
function Answer:said() end

--- Nothing more is read from it; what said() gives stays until it is garbage. Where that is nothing, it is closed.
---@return boolean|nil kept
function Answer:retire() end

function Answer:close() end

-- SHA-256 ------------------------------------------------------------------------------------

--- Signs a text with an RSA key in PEM, as a service account does (RS256).
---@param pem string
---@param text string
---@return string|nil signature  raw bytes
---@return lgemini.core.Failure|nil err  "invalid" where this is no such key
function core.sign_rs256(pem, text) end

core.sha256 = {}

--- The digest of a text.
---@param text string
---@return string|nil hex  lower case
---@return lgemini.core.Failure|nil err  "limit"
function core.sha256.of(text) end

---@return lgemini.core.Sha256|nil
---@return lgemini.core.Failure|nil err  "limit"
function core.sha256.new() end

---@class lgemini.core.Sha256
local Sha256 = {}

--- Bytes that stand at that offset: what was hashed before is passed over, a gap makes the digest unknown for good.
---@param offset integer
---@param bytes string
function Sha256:feed(offset, bytes) end

--- Takes at most n more bytes of a body, from where it is.
---@param body lgemini.core.Body
---@param n integer
---@return integer|nil position
---@return lgemini.core.Failure|nil err  as Body:read has it
function Sha256:read(body, n) end

--- Bytes hashed so far.
---@return integer
function Sha256:position() end

--- The digest of the bytes hashed so far; more may follow.
---@return string|nil hex
---@return lgemini.core.Failure|nil err  "integrity": bytes are missing
function Sha256:hex() end

function Sha256:close() end

-- Resumable uploads ----------------------------------------------------------------------------

--- A table of decisions: what to send next, given what came back.
---@class lgemini.core.Upload
local Upload = {}

core.upload = {}

---@param size integer|nil   of the file; nil: not known, and then it ends with the request that is answered with final
---@param chunk integer|nil  bytes in a request, which are rounded to the server's granularity; 0 or nil: all in one
---@return lgemini.core.Upload
function core.upload.new(size, chunk) end

--- The request to send now.
---@return "start"|"upload"|"upload, finalize"|"query" command
---@return integer offset  of the file
---@return integer length
function Upload:next() end

---@class lgemini.core.UploadAnswer
---@field code integer|nil         HTTP status; nil or 0: the transport broke
---@field status string|nil        X-Goog-Upload-Status
---@field received integer|nil     X-Goog-Upload-Size-Received
---@field granularity integer|nil  X-Goog-Upload-Chunk-Granularity
---@field has_url boolean|nil      X-Goog-Upload-URL is there
---@field api_error boolean|nil    the body holds an error object

--- What the answer to it means. "go": send next() now. "again": wait first, or give up with the fault that was seen.
-- "end": the upload is done. "stop": the last answer that was no success is the error; a query may have come after it.
---@param answer lgemini.core.UploadAnswer
---@return "go"|"again"|"end"|"stop"|nil verdict
---@return lgemini.core.Failure|nil err  "protocol", "limit": the server makes no sense, and the upload is over
function Upload:take(answer) end

--- The session is another process's: what the server has is asked first.
function Upload:resume() end

--- What the server has acknowledged.
---@return integer bytes
function Upload:acked() end

--- There is nothing to close.
function Upload:close() end

-- Exchanges ------------------------------------------------------------------------------------

--- One HTTP request and its answer. Nothing moves before a loop steps. The collector cancels a forgotten one.
---@class lgemini.core.Exchange
local Exchange = {}

core.exchange = {}

--- What requests have in common that differ in their bodies and deadlines only: it is read once, and the handle of one
--- that ended well serves the next.
---@class lgemini.core.Route
local Route = {}

---@class lgemini.core.Request
---@field method string            "GET", "POST", ...
---@field url string               http or https
---@field headers string[]         "Name: value"; "Name;" for an empty one, "Name:" to leave out one of libcurl's
---@field body lgemini.core.Body|string|nil  not for GET; a text of at most 16 KiB may take its place, and is sent whole
---@field offset integer|nil       the window of it that is sent; default: all
---@field length integer|nil
---@field proxy string|nil         nil: as the environment says; "": none
---@field ca_file string|nil       at most one of the two; neither: libcurl's own
---@field ca_path string|nil
---@field cert_file string|nil     our own certificate, PEM
---@field key_file string|nil      its key, PEM; nil: it is in cert_file
---@field hash lgemini.core.Sha256|nil  takes what is sent; stays alive as long as the exchange
---@field hash_offset integer|nil  where the body begins in what is hashed
---@field compressed boolean|nil   let the server compress its answer
---@field http1 boolean|nil        no HTTP/2
---@field tell_data boolean|nil    loop:next() names it when bytes arrive, not only at the end
---@field connect number|nil       clocks in seconds, 0 or nil for none: resolving, connecting, TLS
---@field first_byte number|nil    from the last byte of the request to the status line
---@field idle number|nil          between bytes, either way; not while this side is the slow one
---@field deadline number|nil      an instant: of the whole
---@field max_head integer|nil     bytes of all header lines, trailers and interim answers (256 KiB)
---@field max_answer integer|nil   bytes of the answer held at once (256 MiB)
---@field max_error integer|nil    the same where the status is no success: its beginning is kept (max_answer)
---@field room integer|nil         bytes waiting to be read before the server is made to wait; default: never

--- Of a request of its own, or one of a route. The rest counts with a route only.
---@param request lgemini.core.Request|lgemini.core.Route
---@param body lgemini.core.Body|string|nil
---@param deadline number|nil
---@param offset integer|nil
---@param length integer|nil
---@param hash lgemini.core.Sha256|nil
---@param hash_offset integer|nil
---@return lgemini.core.Exchange|nil
---@return lgemini.core.Failure|nil err  "limit": memory, or a libcurl without what is needed
function core.exchange.new(request, body, deadline, offset, length, hash, hash_offset) end

---@param request lgemini.core.Request  what is of one request alone is not looked at
---@return lgemini.core.Route
function core.exchange.route(request) end

--- Frees the handle that it keeps. Its exchanges go on.
function Route:close() end

---@return "closed"|"queued"|"connecting"|"sending"|"waiting"|"receiving"|"done" phase
function Exchange:phase() end

--- nil while it runs; true when it ended well, whatever the status; false when it failed.
---@return boolean|nil done
---@return lgemini.core.Failure|nil err  any kind; "incomplete" once a 2xx or 3xx had begun
function Exchange:done() end

--- The HTTP status; nil until the head is whole.
---@return integer|nil
function Exchange:code() end

--- Values under lower-case names, repeated ones joined by ", "; empty until the head is whole. No trailers.
---@return table<string, string>
function Exchange:headers() end

--- The same of two names, without the others; nil where it is not there.
---@param first string   in lower case
---@param second string
---@return string|nil
---@return string|nil
function Exchange:header(first, second) end

--- Takes bytes of the answer that have come.
---@param n integer|nil  at most; nil: all
---@return string bytes  "" when none wait
function Exchange:read(n) end

--- Bytes of the body that libcurl has taken.
---@return integer bytes
function Exchange:sent() end

--- What a reader must bring now.
---@return integer|nil offset  in the body; nil: nothing
---@return integer|nil n       at most so many: up to the end of the reader's segment, and 1 MiB
function Exchange:wants() end

--- Brings it, or the beginning of it. Of no effect when the exchange is done.
---@param bytes string  1 to n bytes; more than are wanted raise
---@return true|nil
---@return lgemini.core.Failure|nil err  "limit": memory
function Exchange:supply(bytes) end

---@class lgemini.core.Facts
---@field http_version number|nil  1.0, 1.1, 2.0, 3.0; nil where no answer came
---@field connect number           seconds from the start until the connection stood
---@field first_byte number        until the answer's head was whole
---@field total number
---@field bytes_sent integer       of the bodies on the wire
---@field bytes_received integer
---@field reused boolean           over a connection that was there

--- What the service calls it: x-goog-request-id, or x-request-id.
---@return string|nil
function Exchange:id() end

--- How it went: whole when it is done; of one that was closed, too.
---@return lgemini.core.Facts
function Exchange:facts() end

--- Ends it as cancelled, wherever it is, because its client was closed: done() says so. Nothing where it has ended.
function Exchange:cancel() end

--- Cancels it wherever it is. A connection that is in use is closed at once.
function Exchange:close() end

-- The loop -------------------------------------------------------------------------------------

--- Runs exchanges, which it holds weakly. Two lanes with connections of their own: small calls and streams, bulk.
---@class lgemini.core.Loop
local Loop = {}

core.loop = {}

---@return lgemini.core.Loop|nil
---@return lgemini.core.Failure|nil err  "io": no descriptor; "limit": memory
function core.loop.new() end

---@class lgemini.core.Share

--- Places for so many exchanges at a time; the others wait.
---@param max integer
---@return lgemini.core.Share
function core.loop.share(max) end

--- Takes a new exchange; nothing is sent before the next step.
---@param exchange lgemini.core.Exchange
---@param lane "calls"|"bulk"
---@param share lgemini.core.Share|nil  while it has no free place the exchange waits, in order, its deadline holding
---@return true|nil
---@return lgemini.core.Failure|nil err  "closed": this is another process
function Loop:add(exchange, lane, share) end

--- Works; may wait for work first.
---@param budget number|nil    seconds to work, about; nil: until nothing is left to do now. 0 does one thing
---@param max_wait number|nil  seconds to wait while there is nothing to do; nil: none. Without a budget it goes on
---  until an exchange wants to be looked at, for 50 ms at most
---@param early number|nil     seconds after which handshakes, the longest work there is, wait for another step
---@param alone boolean|nil    nobody else waits for the rest of the budget: all of it is used, unless an exchange wants
--- to be looked at
---@return integer|nil count  how much was done; 0: nothing is left to do now
---@return boolean|lgemini.core.Failure told  whether an exchange wants to be looked at; or why it failed: the system's
---  poller ("io", "limit"), or that this is another process ("closed")
function Loop:step(budget, max_wait, early, alone) end

--- Lets Lua's collector hear of a piece of the large strings that Answer:next made apart, and of more for that long.
---@param seconds number|nil  until it knows all, when left out
---@return boolean  whether there is more
function Loop:collect(seconds) end

--- The next exchange that wants to be looked at: it ended, its reader is wanted or, with tell_data, bytes came.
---@return lgemini.core.Exchange|nil
function Loop:next() end

--- How long a foreign loop may wait before it steps, if the descriptor is not readable.
---@return number|nil seconds  0: not at all; nil: for ever
function Loop:timeout() end

--- The exchanges that were added with that share and are not closed.
---@param share lgemini.core.Share
---@return lgemini.core.Exchange[]
function Loop:sharing(share) end

--- Whether this is the process that made it: in the child of a fork it is not, and takes no exchange and no step.
---@return boolean
function Loop:is_ours() end

--- The descriptor to wait on: readable when a socket is ready, and at the alarm.
---@return integer|nil fd  nil where the system has none
function Loop:fd() end

--- Makes the descriptor readable in so many seconds, once, in place of the alarm before.
---@param seconds number|nil  0: now; nil: takes it back
---@return true|nil
---@return lgemini.core.Failure|nil err  "io"
function Loop:alarm(seconds) end

--- Ends its exchanges as cancelled and closes its connections.
function Loop:close() end

return core
