//! The adapters of this machine.

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

/// Adapters of this machine that can compute, in the order of their ordinals: real GPUs first.
pub(super) fn adapters() -> Vec<wgpu::Adapter> {
    let found = instance().enumerate_adapters(wgpu::Backends::PRIMARY);
    let mut found = pollster::block_on(found);
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    found.sort_by_key(rank);
    found
}

/// What is said where there is no adapter.
pub(super) const NONE: &str = "this machine shows no adapter of Vulkan, Metal or DirectX 12; install a driver (on Debian \
                               and Ubuntu mesa-vulkan-drivers, which has a software one as well)";

/// One line for each adapter, by ordinal: name, backend, driver, whether it is software, its limits, and whether it has
/// subgroups.
pub(in crate::gpu::driver) fn list() -> Result<Vec<String>, String> {
    let adapters = adapters();
    if adapters.is_empty() {
        return Err(NONE.into());
    }
    let each = adapters.iter();
    let lines = each.map(|x| {
        format!(
            "{}; {}",
            label(&x.get_info()),
            bounds(&x.limits(), x.features())
        )
    });
    Ok(lines.collect())
}

/// Most bytes that one array may have.
pub(super) fn largest_array(limits: &wgpu::Limits) -> u64 {
    limits
        .max_buffer_size
        .min(limits.max_storage_buffer_binding_size)
}

pub(super) fn bounds(limits: &wgpu::Limits, features: wgpu::Features) -> String {
    let subgroups = match features.contains(wgpu::Features::SUBGROUP) {
        true => "subgroups",
        false => "no subgroups",
    };
    format!(
        "arrays up to {} MiB, {} arrays and {} KiB of shared memory per kernel, {subgroups}",
        largest_array(limits) >> 20,
        limits.max_storage_buffers_per_shader_stage,
        limits.max_compute_workgroup_storage_size >> 10
    )
}

pub(super) fn label(adapter: &wgpu::AdapterInfo) -> String {
    let software = match adapter.device_type {
        wgpu::DeviceType::Cpu => ", software",
        _ => "",
    };
    let driver = format!("{} {}", adapter.driver, adapter.driver_info);
    format!(
        "{} ({:?}, {}{software})",
        adapter.name,
        adapter.backend,
        driver.trim()
    )
}
