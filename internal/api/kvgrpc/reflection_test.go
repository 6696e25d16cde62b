package kvgrpc

import (
	"slices"
	"testing"

	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	pb "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// TestReflection does what grpcurl does: it lists the services, and calls two
// methods knowing nothing but what the server tells.
func TestReflection(t *testing.T) {
	f := serve(t, memory(), Options{})
	stream, err := grpc_reflection_v1.NewServerReflectionClient(f.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		return no[*grpc_reflection_v1.ServerReflectionResponse](t)(stream.Recv())
	}
	var names []string
	for _, s := range ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}).GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"proto.RawKV", "proto.TransactionalKV", "proto.Distribution", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not in %q", want, names)
		}
	}

	set := &descriptorpb.FileDescriptorSet{}
	for _, b := range ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "proto.Distribution"},
	}).GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptorpb.FileDescriptorProto{}
		if err := pb.Unmarshal(b, file); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	found, err := files.FindDescriptorByName("proto.Distribution")
	if err != nil {
		t.Fatal(err)
	}
	call := func(method protoreflect.Name) string {
		t.Helper()
		m := found.(protoreflect.ServiceDescriptor).Methods().ByName(method)
		resp := dynamicpb.NewMessage(m.Output())
		if err := f.conn.Invoke(t.Context(), "/proto.Distribution/"+string(method), dynamicpb.NewMessage(m.Input()), resp); err != nil {
			t.Fatal(err)
		}
		compact := no[[]byte](t)(protojson.Marshal(resp))
		return string(compact)
	}
	want := `{"catalogVersion":"7","routes":[{"routeId":"3","start":"YQ==","end":"eg==","raftGroupId":"3","state":"ROUTE_STATE_ACTIVE","parentRouteId":"2"}]}`
	if got := slices.DeleteFunc([]byte(call("ListRoutes")), func(c byte) bool { return c == ' ' }); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := call("GetTimestamp"); len(got) < len(`{"timestamp":"1700000000000000"}`) {
		t.Errorf("got %s", got)
	}
}
