-- A CA and a server certificate signed by it, made on the spot.

local altname = require "openssl.x509.altname"
local bignum = require "openssl.bignum"
local extension = require "openssl.x509.extension"
local name = require "openssl.x509.name"
local pkey = require "openssl.pkey"
local rand = require "openssl.rand"
local tls = require "http.tls"
local x509 = require "openssl.x509"

local certificate = {}

local function new(common_name, issuer, days)
  local crt = x509.new()
  crt:setVersion(3)
  crt:setSerial(bignum.fromBinary("\1" .. rand.bytes(15)))
  local subject = name.new()
  subject:add("CN", common_name)
  crt:setSubject(subject)
  crt:setIssuer(issuer or subject)
  local now = os.time()
  crt:setLifetime(now - 86400 * 2, now + 86400 * days)
  return crt
end

local function choose_protocol(ssl, offered)
  local version2 = ssl:getVersion() >= 0x0303 -- HTTP/2 wants TLS 1.2
  for _, protocol in ipairs(offered) do
    if protocol == "h2" and version2 or protocol == "http/1.1" then return protocol end
  end
end

--- A server's TLS context, and the PEM of the CA that vouches for it.
---@param names string[] host names and addresses
---@param days number of validity; negative: expired
---@return table context
---@return string ca_pem
function certificate.new(names, days)
  local ca_key, key = pkey.new({ type = "EC", curve = "prime256v1" }), pkey.new({ type = "EC", curve = "prime256v1" })

  local ca = new("lgemini emulator CA", nil, 365)
  ca:setBasicConstraints({ CA = true })
  ca:setBasicConstraintsCritical(true)
  ca:addExtension(extension.new("keyUsage", "critical,keyCertSign,cRLSign"))
  ca:setPublicKey(ca_key)
  ca:sign(ca_key)

  local crt = new(names[1], ca:getSubject(), days)
  crt:setBasicConstraints({ CA = false })
  local alternatives = altname.new()
  for _, host in ipairs(names) do
    local address = host:find("^%d+%.%d+%.%d+%.%d+$") or host:find(":", 1, true)
    alternatives:add(address and "IP" or "DNS", host)
  end
  crt:setSubjectAlt(alternatives)
  crt:addExtension(extension.new("extendedKeyUsage", "serverAuth"))
  crt:setPublicKey(key)
  crt:sign(ca_key)

  local context = tls.new_server_context()
  context:setAlpnSelect(choose_protocol)
  assert(context:setPrivateKey(key))
  assert(context:setCertificate(crt))
  return context, ca:toPEM()
end

return certificate
