"""The messages of Katib's gRPC API as classes, made when this module is imported from `katib.proto` compiled.

Generated Python code is avoided on purpose. It belongs to one range of protobuf releases, while pykatib must live
with the release that its neighbours ask for (Katib's SDK: one below 5; the health service: the newest). And it
registers its names in the process-wide pool, where those of Katib's SDK are `api.v1.beta1` too: whoever imports both
would fail. The pool here is our own, and descriptors are the same in every release.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

POOL = descriptor_pool.DescriptorPool()
"""Where the names of this contract are; reflection reads it."""

for _file in descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("messages.bin").read_bytes()).file:
    POOL.AddSerializedFile(_file.SerializeToString())
DESCRIPTOR = POOL.FindFileByName("katib.proto")

for _name, _message in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = message_factory.GetMessageClass(_message)
for _name, _enum in DESCRIPTOR.enum_types_by_name.items():
    globals()[_name] = EnumTypeWrapper(_enum)
    globals().update({value.name: value.number for value in _enum.values})
