package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	fieldManager   = "control-plane-go"
	hashAnnotation = "llmservice.io/applied"
)

type reconciler struct {
	client.Client
	templates string
}

// Reconcile applies the children that are not as they should be, then says what was found.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	service := empty(serviceKind)
	if err := r.Get(ctx, request.NamespacedName, service); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	children, err := r.children(service)
	if err != nil {
		return ctrl.Result{}, err
	}
	writes, writing := errgroup.WithContext(ctx)
	for _, child := range children {
		writes.Go(func() error { return r.apply(writing, child) })
	}
	if err := writes.Wait(); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.say(ctx, service, children)
}

// children of an LLMService, as the templates have them.
func (r *reconciler) children(service *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	hash := sha256.Sum256([]byte(service.GetName()))
	text := strings.NewReplacer(
		"{name}", service.GetName(),
		"{namespace}", service.GetNamespace(),
		"{revision}", hex.EncodeToString(hash[:3]),
		"{uid}", string(service.GetUID()),
	).Replace(r.templates)
	var children []*unstructured.Unstructured
	err := json.Unmarshal([]byte(text), &children)
	return children, err
}

// apply writes a child unless it is known to be there as it should be.
func (r *reconciler) apply(ctx context.Context, child *unstructured.Unstructured) error {
	known, err := r.known(ctx, child)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err == nil && known.GetAnnotations()[hashAnnotation] == child.GetAnnotations()[hashAnnotation] {
		return nil
	}
	wanted := client.ApplyConfigurationFromUnstructured(child)
	return r.Apply(ctx, wanted, client.FieldOwner(fieldManager), client.ForceOwnership)
}

func (r *reconciler) known(ctx context.Context, child *unstructured.Unstructured) (client.Object, error) {
	var found client.Object = metadataOf(child.GroupVersionKind())
	if child.GroupVersionKind() == rayServiceKind {
		found = empty(rayServiceKind)
	}
	return found, r.Get(ctx, client.ObjectKeyFromObject(child), found)
}

// say writes the status where it is not what it was.
func (r *reconciler) say(ctx context.Context, service *unstructured.Unstructured, children []*unstructured.Unstructured) error {
	isReady, err := r.isReady(ctx, children)
	if err != nil {
		return err
	}
	said, err := statusOf(service)
	if err != nil {
		return err
	}
	generation := service.GetGeneration()
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Starting", ObservedGeneration: generation}
	if isReady {
		ready.Status, ready.Reason = metav1.ConditionTrue, "Serving"
	}
	if !meta.SetStatusCondition(&said.Conditions, ready) {
		return nil
	}
	said.ObservedGeneration = generation
	if service.Object["status"], err = runtime.DefaultUnstructuredConverter.ToUnstructured(&said); err != nil {
		return err
	}
	return r.Status().Update(ctx, service)
}

// isReady tells whether the RayService says so; one that was just made does not.
func (r *reconciler) isReady(ctx context.Context, children []*unstructured.Unstructured) (bool, error) {
	for _, child := range children {
		if child.GroupVersionKind() != rayServiceKind {
			continue
		}
		known := empty(rayServiceKind)
		if err := r.Get(ctx, client.ObjectKeyFromObject(child), known); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		found, err := statusOf(known)
		return meta.IsStatusConditionTrue(found.Conditions, "Ready"), err
	}
	return false, nil
}

type status struct {
	ObservedGeneration int64              `json:"observedGeneration"`
	Conditions         []metav1.Condition `json:"conditions"`
}

func statusOf(object *unstructured.Unstructured) (status, error) {
	var found status
	known, _, err := unstructured.NestedMap(object.Object, "status")
	if err != nil {
		return found, err
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(known, &found)
	return found, err
}
