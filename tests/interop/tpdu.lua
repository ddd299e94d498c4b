-- Length, TPDU and ISO 8583 for Wireshark, whose own dissector knows no TPDU: what stands after it is handed on.
--
--   tshark -X lua_script:tpdu.lua -d tcp.port==8583,iso8583 -d tcp.port==5000,tpdu8583 \
--       -o iso8583.len_endian:bigendian -o iso8583.charset:ascii -o iso8583.binencode:bin -r day.pcap -V
--
-- 5000: the host's port. 8583: any port that is not in the capture; the dissector has no name, but is found by it.

local MARK_PORT = 8583
local LENGTH_BYTES, TPDU_BYTES = 2, 5

local tpdu = Proto("tpdu8583", "Length, TPDU and ISO 8583")
local shown = ProtoField.bytes("tpdu8583.tpdu", "TPDU")
tpdu.fields = { shown }

local function frame_bytes(buffer, _, offset)
    return LENGTH_BYTES + buffer(offset, LENGTH_BYTES):uint()
end

local function frame(buffer, packet, tree)
    tree:add(shown, buffer(LENGTH_BYTES, TPDU_BYTES))
    local message = buffer(LENGTH_BYTES + TPDU_BYTES):bytes()
    local framed = ByteArray.new(string.format("%04X", message:len()))
    framed:append(message)
    local iso8583 = DissectorTable.get("tcp.port"):get_dissector(MARK_PORT)
    iso8583:call(framed:tvb("message"), packet, tree)
    return buffer:len()
end

function tpdu.dissector(buffer, packet, tree)
    dissect_tcp_pdus(buffer, tree, LENGTH_BYTES, frame_bytes, frame)
    return buffer:len()
end

DissectorTable.get("tcp.port"):add_for_decode_as(tpdu)
